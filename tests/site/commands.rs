//! The other words of the command line, and what they say when they cannot.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::{Actor, Site, fresh_database, seconds, tally};

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_what_it_says_or_says_why_not_in_one_line() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let dir = site.data_dir();
    let mut second = tally();
    second.arg("up").arg("--data-dir").arg(&dir).args(["--http", "127.0.0.1:0"]);
    let complaint = failure(run(&mut second, "").await);
    assert!(complaint.contains("another `tally up` uses"), "{complaint}");

    let mut create = tally();
    create.args(["user", "create", "--handle", "typed", "--role", "STREAMER", "--data-dir"]).arg(&dir);
    let output = run(&mut create, "a password by hand\n").await;
    assert_eq!(success(output), "", "a password that was given is not printed");
    let typed = Actor::sign_in(&site, "typed", "a password by hand").await;
    typed.channel("Made by a streamer", false).await;
    let complaint = failure(run(&mut create, "a password by hand\n").await);
    assert!(complaint.contains("the handle typed is taken"), "{complaint}");

    let mut create = tally();
    create.args(["user", "create", "--handle", "made_up", "--role", "viewer", "--data-dir"]).arg(&dir);
    let said = success(run(&mut create, "").await);
    Actor::sign_in(&site, "made_up", said.trim()).await;

    let mut reset = tally();
    reset.args(["user", "set-password", "--handle", "made_up", "--data-dir"]).arg(&dir);
    success(run(&mut reset, "another by hand\n").await);
    Actor::sign_in(&site, "made_up", "another by hand").await;

    let mut set_role = tally();
    set_role.args(["user", "set-role", "--handle", "made_up", "--role", "moderator", "--data-dir"]).arg(&dir);
    let made_up = Actor::sign_in(&site, "made_up", "another by hand").await;
    let open = made_up.subscribe("subscription { streamEvents { cursor } }", json!({})).await;
    success(run(&mut set_role, "").await);
    open.until_cut(seconds(5)).await;
    let shown = typed.data("{ user(handle: \"made_up\") { role } }", json!({})).await;
    assert_eq!(shown["user"]["role"], "MODERATOR");

    let mut schema = tally();
    let printed = success(run(schema.arg("schema"), "").await);
    assert_eq!(printed, include_str!("../../schema.graphql"), "schema.graphql is what `tally schema` prints");
    let idle = tempfile::tempdir().expect("a directory");
    let mut demo = tally();
    let complaint = failure(run(demo.arg("demo").arg("--data-dir").arg(idle.path()), "").await);
    assert!(complaint.contains("no `tally up` runs"), "{complaint}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_database_is_served_once_it_has_been_migrated() {
    let url = fresh_database("commands").await;
    let data = tempfile::tempdir().expect("a directory");
    let serve = || {
        let mut serve = tally();
        serve.arg("serve").args(["--database-url", &url, "--data-dir"]).arg(data.path());
        serve.args(["--listen", "127.0.0.1:0", "--internal", "127.0.0.1:0"]);
        serve
    };
    let complaint = failure(run(&mut serve(), "").await);
    assert!(complaint.contains("run `tally migrate` first"), "{complaint}");
    for _ in 0..2 {
        success(run(tally().args(["migrate", "--database-url", &url]), "").await);
    }
    let mut serving = serve().stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(serving.stderr.take().expect("a pipe")).lines();
    let serves = async {
        while !said.next_line().await.expect("a line").expect("it still speaks").contains(" serving ") {}
    };
    tokio::time::timeout(seconds(20), serves).await.expect("it serves");
    // As a terminal that is closed: it stops no worse for not being able to say so.
    drop(said);
    crate::support::send(
        i32::try_from(serving.id().expect("a process")).expect("a number"),
        rustix::process::Signal::INT,
    );
    let status = tokio::time::timeout(seconds(10), serving.wait()).await;
    assert!(status.expect("it stops").expect("a status").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_that_is_too_old_is_refused_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = dir.path().join("nginx");
    std::fs::write(&old, "#!/bin/sh\necho 'nginx version: nginx/1.18.0 (Ubuntu)' >&2\n").expect("written");
    // The account that `up` leaves root for must be able to run it.
    for path in [dir.path(), &old] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("permissions");
    }
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").expect("a path"));
    let mut up = tally();
    up.arg("up").arg("--data-dir").arg(dir.path().join("data")).env("PATH", path);
    let complaint = failure(run(&mut up, "").await);
    assert!(complaint.contains("is of version 1.18.0, and 1.19.5 or later is needed"), "{complaint}");
}

/// Runs a command to its end with that on its standard input.
async fn run(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = tokio::time::timeout(seconds(20), child.wait_with_output()).await;
    ended.expect("it ends").expect("an output")
}

fn success(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What it complained of, which must be a single line behind whatever it logged.
fn failure(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("tally: "), "{said}");
    lines[0].to_owned()
}
