//! GraphQL over HTTP, as the audits of npm's graphql-http see it.

use std::path::Path;

use tokio::process::Command;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn all_audits_of_graphql_over_http_pass() {
    let audits = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audits");
    assert!(
        audits.join("node_modules/graphql-http").exists(),
        "the audits are not installed: `make test` does it, or `npm ci` in tests/audits"
    );
    let server = Server::start().await;
    let run = Command::new("node").arg(audits.join("run.mjs")).arg(server.url("/graphql")).output();
    let output = run.await.expect("node runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("61 of 61 audits pass"), "{said}");
}
