//! All users of the site, for admins.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site};
use crate::sql::Sql;

const LIST: &str = "query ($first: Int, $after: String, $search: String, $role: Role, $suspended: Boolean) {
    users(first: $first, after: $after, search: $search, role: $role, suspended: $suspended) {
        totalCount pageInfo { hasNextPage endCursor } nodes { handle role suspension { reason } } } }";

async fn handles(admin: &Actor, which: Value) -> Vec<String> {
    let list = admin.data(LIST, which).await["users"].take();
    list["nodes"].as_array().unwrap().iter().map(|it| it["handle"].as_str().unwrap().to_owned()).collect()
}

/// A second after whoever came before, since ids are as old as the clock says.
async fn sign_up(site: &Site, handle: &str, name: &str) -> Value {
    let sign_up = "mutation ($input: SignUpInput!) { signUp(input: $input) { user { id } } }";
    site.clock.advance(Duration::from_secs(1));
    let input = json!({"handle": handle, "displayName": name, "password": "a long password"});
    site.anonymous().data(sign_up, json!({"input": input})).await["signUp"]["user"]["id"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_look_through_all_users_and_nobody_else_does() {
    let site = Site::start().await;
    let admin = site.actor("root", Role::Admin).await;
    site.clock.advance(Duration::from_secs(1));
    let moderator = site.actor("mod", Role::Moderator).await;
    sign_up(&site, "mia", "Mia Möller").await;
    let tom = sign_up(&site, "tom", "围棋直播间").await;
    assert_eq!(handles(&admin, json!({})).await, ["tom", "mia", "mod", "root"], "the newest first");
    assert_eq!(handles(&admin, json!({"role": "VIEWER"})).await, ["tom", "mia"]);
    for (search, found) in [
        ("MÖLL", &["mia"][..]),
        ("直", &["tom"]),
        ("o", &["tom", "mod", "root"]),
        ("o t", &["tom", "root"]),
        ("mia mö", &["mia"]),
        ("nobody", &[]),
    ] {
        assert_eq!(handles(&admin, json!({"search": search})).await, found, "{search}");
    }
    let suspend = "mutation ($input: SuspendUserInput!) { suspendUser(input: $input) { user { id } } }";
    admin.data(suspend, json!({"input": {"userId": tom, "reason": "Spam"}})).await;
    let shut_out = admin.data(LIST, json!({"suspended": true})).await["users"].take();
    assert_eq!(
        shut_out["nodes"],
        json!([{"handle": "tom", "role": "VIEWER", "suspension": {"reason": "Spam"}}])
    );
    assert_eq!(handles(&admin, json!({"suspended": false, "role": "VIEWER"})).await, ["mia"]);
    assert_eq!(handles(&admin, json!({"suspended": false, "search": "tom"})).await, [""; 0]);

    let first = admin.data(LIST, json!({"first": 3})).await["users"].take();
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&json!(4), &json!(true)));
    sign_up(&site, "newcomer", "Newcomer").await;
    let rest = json!({"after": first["pageInfo"]["endCursor"]});
    assert_eq!(handles(&admin, rest).await, ["root"], "pages are not shifted");
    assert_eq!(moderator.error(LIST, json!({})).await.0, "FORBIDDEN");
    assert_eq!(site.anonymous().error(LIST, json!({})).await.0, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_very_many_have_are_searched_as_well() {
    let site = Site::start().await;
    let admin = site.actor("root", Role::Admin).await;
    let crowd = "INSERT INTO users (id, handle, display_name, role, password_hash, created_at)
        SELECT md5(n::text)::uuid, 'crowd_' || n, CASE WHEN n % 100 = 0 THEN 'Hundredth' ELSE 'One' END,
            'viewer', '-', now() FROM generate_series(1, 700) AS n";
    Sql::on(&site.url).await.run(crowd).await;
    let list = admin.data(LIST, json!({"search": "crowd", "first": 100})).await["users"].take();
    assert_eq!((&list["totalCount"], &list["pageInfo"]["hasNextPage"]), (&json!(500), &json!(true)));
    assert_eq!(list["nodes"].as_array().unwrap().len(), 100);
    let list = admin.data(LIST, json!({"search": "crowd hundredth"})).await["users"].take();
    assert_eq!(list["totalCount"], 7);
}
