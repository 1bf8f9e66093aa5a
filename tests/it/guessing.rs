//! Guessing: of passwords, of stream keys; and making accounts without end.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::{Publisher, Stage};
use crate::site::Site;
use crate::socket::Socket;

const SIGN_IN: &str = "mutation ($input: SignInInput!) { signIn(input: $input) { user { handle } } }";
const SIGN_UP: &str = "mutation ($input: SignUpInput!) { signUp(input: $input) { user { handle } } }";

/// What comes of a document sent from that address, as nginx passes it on: the handle, or the error's code.
async fn sent(site: &Site, address: &str, query: &str, input: Value) -> String {
    let request = site.client.post(format!("http://{}/graphql", site.public));
    let request = request.header("content-type", "application/json").header("x-forwarded-for", address);
    let body = json!({"query": query, "variables": {"input": input}}).to_string();
    let text = request.body(body).send().await.unwrap().text().await.unwrap();
    outcome(&serde_json::from_str(&text).unwrap())
}

fn outcome(answer: &Value) -> String {
    let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() else {
        let field = answer["data"].as_object().unwrap().values().next().unwrap();
        return field["user"]["handle"].as_str().unwrap().to_owned();
    };
    let seconds = answer["errors"][0]["extensions"]["retryAfterSeconds"].as_u64();
    assert_eq!(seconds.is_some(), code == "RATE_LIMITED", "{answer}");
    code.to_owned()
}

async fn sign_in(site: &Site, address: &str, handle: &str, password: &str) -> String {
    sent(site, address, SIGN_IN, json!({"handle": handle, "password": password})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_tried_ten_times_a_minute_whether_it_is_anybodys_or_not() {
    let site = Site::start().await;
    site.actor("mia", Role::Viewer).await;
    site.clock.advance(Duration::from_secs(60));
    let mut answers = Vec::new();
    for handle in ["mia", "nobody", "Not a handle!"] {
        let ask = async |password: &str| {
            let input = json!({"handle": handle, "password": password});
            let mut answer = site.anonymous().ask(SIGN_IN, json!({"input": input})).await;
            answer["extensions"] = Value::Null;
            answer
        };
        for _ in 0..10 {
            assert_eq!(outcome(&ask("not hers").await), "UNAUTHENTICATED", "{handle}");
        }
        assert_eq!(outcome(&ask("password of mia").await), "RATE_LIMITED", "not even with the right one");
        answers.push(ask("not hers").await);
    }
    assert_eq!(answers[0]["errors"][0]["extensions"]["retryAfterSeconds"], 60);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    site.clock.advance(Duration::from_secs(59));
    assert_eq!(sign_in(&site, "192.0.2.1", "mia", "password of mia").await, "RATE_LIMITED");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(sign_in(&site, "192.0.2.1", "mia", "password of mia").await, "mia");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_count_however_they_are_packed() {
    let site = Site::start().await;
    let mut wrong = 0;
    let mut count = |code: &str| wrong += usize::from(code == "UNAUTHENTICATED");
    let field = |number: usize| {
        format!("a{number}: signIn(input: {{handle: \"mia\", password: \"guess {number}\"}}) {{ token }}")
    };
    let aliases: String = (0..100).map(field).collect();
    for _ in 0..4 {
        let answer = site.anonymous().ask(&format!("mutation {{ {aliases} }}"), json!({})).await;
        let errors = answer["errors"].as_array().unwrap();
        errors.iter().for_each(|error| count(error["extensions"]["code"].as_str().unwrap()));
    }
    for number in 0..10 {
        count(&sign_in(&site, &format!("198.51.{number}.1"), "mia", "a guess").await);
    }
    let mut sockets = Vec::new();
    for number in 0..10 {
        let mut socket = Socket::open(site.public).await;
        socket.start("1", &format!("mutation {{ {} }}", field(number)), json!({})).await;
        sockets.push(socket);
    }
    for mut socket in sockets {
        let said = socket.hear("1").await;
        let errors = said["payload"].get("errors").unwrap_or(&said["payload"]);
        count(errors[0]["extensions"]["code"].as_str().unwrap());
    }
    assert_eq!(wrong, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_its_network_may_fail_so_often_and_succeed_without_end() {
    let site = Site::start().await;
    site.actor("mia", Role::Viewer).await;
    let guess = async |address: &str, number: usize| {
        sign_in(&site, address, &format!("handle_{number}"), "a guess").await
    };
    for number in 0..30 {
        assert_eq!(guess("192.0.2.1", number).await, "UNAUTHENTICATED");
    }
    assert_eq!(guess("192.0.2.1", 30).await, "RATE_LIMITED");
    assert_eq!(sign_in(&site, "192.0.2.1", "mia", "password of mia").await, "RATE_LIMITED");
    assert_eq!(sign_in(&site, "192.0.2.2", "mia", "password of mia").await, "mia", "next door");
    // From few addresses: of many, one or the other would be counted together with one that was refused.
    for number in 30..100 {
        assert_eq!(guess(&format!("192.0.2.{}", 10 + number % 3), number).await, "UNAUTHENTICATED");
    }
    assert_eq!(guess("192.0.2.200", 100).await, "RATE_LIMITED");
    assert_eq!(guess("2001:db8::1", 100).await, "UNAUTHENTICATED");
    // A school: everybody behind one address, each with their own account.
    for number in 0..50 {
        let handle = format!("pupil_{number}");
        site.actor(&handle, Role::Viewer).await;
        let password = format!("password of {handle}");
        assert_eq!(sign_in(&site, "203.0.113.1", &handle, &password).await, handle);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_its_limit_waits_for_no_turn_and_takes_no_time() {
    let site = Site::start().await;
    for _ in 0..10 {
        sign_in(&site, "192.0.2.1", "mia", "a guess").await;
    }
    let _turns = [site.passwords.turn().await.unwrap(), site.passwords.turn().await.unwrap()];
    assert_eq!(sign_in(&site, "192.0.2.1", "mia", "a guess").await, "RATE_LIMITED");
    let waiting = sign_in(&site, "192.0.2.1", "tom", "a guess");
    let (waiting, limited) = (std::pin::pin!(waiting), sign_in(&site, "192.0.2.1", "mia", "a guess"));
    tokio::select! {
        biased;
        code = waiting => panic!("nobody has a turn: {code}"),
        code = limited => assert_eq!(code, "RATE_LIMITED"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_sign_ins_is_told_to_come_later() {
    let site = Site::start().await;
    let mut waiting: Vec<_> = Vec::new();
    while let Some(turn) = futures_util::FutureExt::now_or_never(site.passwords.turn()) {
        waiting.push(turn.unwrap());
    }
    let mut queue = Vec::new();
    loop {
        let mut turn = Box::pin(site.passwords.turn());
        if futures_util::FutureExt::now_or_never(&mut turn).is_some_and(|turn| turn.is_err()) {
            break;
        }
        queue.push(turn);
    }
    assert_eq!(sign_in(&site, "192.0.2.1", "mia", "a guess").await, "UNAVAILABLE");
    let input = json!({"handle": "mia", "password": "a long password"});
    assert_eq!(sent(&site, "192.0.2.1", SIGN_UP, input.clone()).await, "UNAVAILABLE");
    drop((queue, waiting));
    assert_eq!(sent(&site, "192.0.2.1", SIGN_UP, input).await, "mia");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_makes_so_many_accounts_and_no_more() {
    let site = Site::start().await;
    let make = async |address: &str, handle: String| {
        sent(&site, address, SIGN_UP, json!({"handle": handle, "password": "a long password"})).await
    };
    for number in 0..100 {
        assert_eq!(make("192.0.2.1", format!("pupil_{number}")).await, format!("pupil_{number}"));
    }
    assert_eq!(make("192.0.2.1", "one_more".to_owned()).await, "RATE_LIMITED");
    assert_eq!(make("198.51.100.1", "elsewhere".to_owned()).await, "elsewhere");
    site.clock.advance(Duration::from_secs(600));
    assert_eq!(make("192.0.2.1", "one_more".to_owned()).await, "one_more");
}

/// Somebody who shows a key from an address; whether they are let in.
async fn shows(site: &Site, address: &str, key: &str) -> bool {
    let form = format!("app=live&addr={address}&clientid=1&call=publish&name={key}&type=live");
    site.callback("publish", &form).await.0 == 302
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_stream_keys_is_not_looked_at_and_those_beside_them_still_come_back() {
    let stage = Stage::set().await;
    let site = &stage.site;
    let Publisher { key, .. } = stage.publisher(1);
    let other = stage.owner.channel("Two", json!({})).await["key"].as_str().unwrap().to_owned();
    assert!(shows(site, "192.0.2.1", &key).await);
    let letter = |number: u8| char::from(b'a' + number % 8).to_string().repeat(16);
    let guess = |number: u8| format!("tk_{}{}", letter(number), letter(number / 8));
    for number in 0..30 {
        assert!(!shows(site, "192.0.2.1", &guess(number)).await);
    }
    assert!(!shows(site, "192.0.2.1", &other).await, "it was never shown before");
    assert!(shows(site, "192.0.2.1", &key).await, "it opened something a moment ago");
    assert!(shows(site, "198.51.100.1", &other).await, "from elsewhere");
    assert!(shows(site, "192.0.2.1", &other).await, "it is known now");
    site.clock.advance(Duration::from_secs(60));
    assert!(shows(site, "192.0.2.1", &key).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_begin_alike_are_counted_together_from_wherever_they_come() {
    let stage = Stage::set().await;
    let site = &stage.site;
    let key = stage.publisher(1).key;
    let guess = |number: u8| {
        let last = char::from(b'a' + number);
        let end = if key.ends_with(last) { 'z' } else { last };
        format!("{}{end}", &key[..key.len() - 1])
    };
    for number in 0..8 {
        assert!(!shows(site, &format!("198.51.{number}.1"), &guess(number)).await);
    }
    assert!(shows(site, "192.0.2.1", &key).await, "few were wrong");
    for number in 0..8 {
        assert!(!shows(site, &format!("198.51.{number}.1"), &guess(number)).await);
    }
    assert!(shows(site, "192.0.2.1", &key).await, "the right one is known");
}
