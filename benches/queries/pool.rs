//! The connections that a peer keeps to the database of `DATABASE_URL`.

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool as Deadpool;

pub(crate) type Pool = Deadpool<AsyncPgConnection>;

pub(crate) fn pool() -> Pool {
    let url = std::env::var("DATABASE_URL").expect("a database");
    Pool::builder(AsyncDieselConnectionManager::new(url)).max_size(10).build().expect("a pool")
}
