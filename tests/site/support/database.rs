//! The PostgreSQL that is there for the whole run of the tests.

use std::path::{Path, PathBuf};

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

/// A new, empty database there.
pub(crate) async fn fresh_database(name: &str) -> String {
    let (server, name) = (server(), format!("tally_site_{}_{name}", std::process::id()));
    let mut connection = AsyncPgConnection::establish(&server).await.expect("PostgreSQL answers");
    connection.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
    format!("{}/{name}", server.rsplit_once('/').expect("a URL with a database").0)
}

/// The socket that it is reached through.
pub(crate) fn socket() -> PathBuf {
    let server = server();
    let directory = server.split(['@', '/']).find(|part| part.contains("%2F")).expect("a URL of a socket");
    Path::new(&directory.replace("%2F", "/")).join(".s.PGSQL.5432")
}

fn server() -> String {
    let server = std::env::var("TALLY_TEST_DATABASE_URL");
    server.expect("run the tests with `make test`, or with `script/with-postgres cargo test`")
}
