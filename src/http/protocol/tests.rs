use std::collections::HashMap;

use async_graphql::{Response, Value as GraphValue};
use proptest::prelude::*;

use super::*;

const SUBSCRIBE: &str = r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#;

fn acknowledged() -> Protocol {
    let mut protocol = Protocol::default();
    assert_eq!(protocol.receive(r#"{"type":"connection_init"}"#), Step::Identify(None));
    assert_eq!(protocol.welcome(), r#"{"type":"connection_ack"}"#);
    protocol
}

fn answer() -> Answer {
    Response::new(GraphValue::from(1)).into()
}

fn close(step: Step) -> (u16, String) {
    match step {
        Step::Close(close) => close.code_and_reason(),
        other => panic!("expected a close, got {other:?}"),
    }
}

#[test]
fn an_operation_runs_from_subscribe_to_complete() {
    let mut protocol = acknowledged();
    assert!(matches!(protocol.receive(SUBSCRIBE), Step::Start(id, _) if id == "1"));
    let next = r#"{"id":"1","type":"next","payload":{"data":1}}"#;
    assert_eq!(protocol.next("1", &answer()).as_deref(), Some(next));
    assert_eq!(protocol.complete("1").as_deref(), Some(r#"{"id":"1","type":"complete"}"#));
    assert_eq!(protocol.complete("1"), None);
    assert!(matches!(protocol.receive(SUBSCRIBE), Step::Start(..)), "the id is free again");
}

#[test]
fn nothing_is_sent_for_what_the_client_has_completed() {
    let mut protocol = acknowledged();
    protocol.receive(SUBSCRIBE);
    assert_eq!(protocol.receive(r#"{"id":"1","type":"complete"}"#), Step::Stop("1".to_owned()));
    assert_eq!(protocol.next("1", &answer()), None);
    assert_eq!(protocol.refuse("1", &answer()), None);
    assert_eq!(protocol.receive(r#"{"id":"1","type":"complete"}"#), Step::Rest);
}

#[test]
fn an_error_carries_the_errors_as_a_list() {
    let mut protocol = acknowledged();
    protocol.receive(SUBSCRIBE);
    let refused: Answer = error("DOCUMENT_REFUSED", "no").into();
    let text = protocol.refuse("1", &refused).unwrap();
    let expected =
        r#"{"id":"1","payload":[{"extensions":{"code":"DOCUMENT_REFUSED"},"message":"no"}],"type":"error"}"#;
    assert_eq!(text, expected);
}

#[test]
fn each_breach_of_the_protocol_has_its_code() {
    let fresh = |text: &str| close(Protocol::default().receive(text));
    let ready = |text: &str| close(acknowledged().receive(text));
    assert_eq!(fresh(SUBSCRIBE), (4401, "Unauthorized".to_owned()));
    assert_eq!(ready(r#"{"type":"connection_init"}"#).0, 4429);
    let mut twice = Protocol::default();
    twice.receive(r#"{"type":"connection_init"}"#);
    assert_eq!(close(twice.receive(r#"{"type":"connection_init"}"#)).0, 4429);
    let mut waiting = Protocol::default();
    waiting.receive(r#"{"type":"connection_init"}"#);
    assert_eq!(close(waiting.receive(SUBSCRIBE)).0, 4401);
    let mut busy = acknowledged();
    busy.receive(SUBSCRIBE);
    assert_eq!(close(busy.receive(SUBSCRIBE)), (4409, "Subscriber for 1 already exists".to_owned()));
    for bad in [
        "",
        "{",
        "1",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"nonsense"}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"connection_init","payload":"x"}"#,
        r#"{"type":"ping","payload":[]}"#,
        r#"{"type":"subscribe","id":1,"payload":{"query":"{a}"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#,
        r#"{"type":"subscribe","id":"1","payload":{}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}"#,
        r#"{"type":"complete"}"#,
        r#"{"type":"next","id":"1","payload":{}}"#,
    ] {
        assert_eq!(ready(bad), (4400, "Invalid message".to_owned()), "{bad}");
    }
}

#[test]
fn a_token_is_found_under_its_key_in_any_case() {
    let identify = |payload: Value| {
        Protocol::default()
            .receive(&serde_json::json!({"type": "connection_init", "payload": payload}).to_string())
    };
    let token = Step::Identify(Some("T".to_owned()));
    assert_eq!(identify(serde_json::json!({"Authorization": "Bearer T"})), token);
    assert_eq!(identify(serde_json::json!({"authorization": "bearer T", "more": 1})), token);
    assert_eq!(identify(serde_json::json!({"authorization": null})), Step::Identify(None));
    assert_eq!(identify(serde_json::json!({"authorization": "T"})), Step::Close(Close::Forbidden));
    assert_eq!(identify(serde_json::json!({"authorization": 1})), Step::Close(Close::Forbidden));
}

#[test]
fn a_ping_is_answered_with_its_payload_at_any_time() {
    let mut protocol = Protocol::default();
    assert_eq!(protocol.receive(r#"{"type":"ping"}"#), Step::Send(r#"{"type":"pong"}"#.to_owned()));
    let with = protocol.receive(r#"{"type":"ping","payload":{"a":1}}"#);
    assert_eq!(with, Step::Send(r#"{"payload":{"a":1},"type":"pong"}"#.to_owned()));
    assert_eq!(protocol.receive(r#"{"type":"pong","payload":{"a":1}}"#), Step::Rest);
}

#[test]
fn one_operation_too_many_is_refused_and_the_others_go_on() {
    let mut protocol = acknowledged();
    let subscribe = |n: usize| SUBSCRIBE.replace(r#""1""#, &format!(r#""{n}""#));
    for n in 0..MAX_OPERATIONS {
        assert!(matches!(protocol.receive(&subscribe(n)), Step::Start(..)));
    }
    let Step::Send(text) = protocol.receive(&subscribe(MAX_OPERATIONS)) else { panic!("expected an error") };
    assert!(text.contains("RATE_LIMITED") && text.contains("retryAfterSeconds"), "{text}");
    protocol.complete("7");
    assert!(matches!(protocol.receive(&subscribe(MAX_OPERATIONS)), Step::Start(..)));
}

#[test]
fn a_reason_fits_into_a_close_frame() {
    let (code, reason) = Close::SubscriberExists("x".repeat(MAX_ID)).code_and_reason();
    assert_eq!(code, 4409);
    assert!(reason.len() <= 123);
}

/// What may happen on a connection, from either side.
#[derive(Clone, Debug)]
enum Act {
    Says(String),
    Welcomed,
    Answered(u8),
    Refused(u8),
    Finished(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let id = 0..4u8;
    prop_oneof![
        Just(Act::Says(r#"{"type":"connection_init"}"#.to_owned())),
        Just(Act::Welcomed),
        id.clone().prop_map(|id| Act::Says(SUBSCRIBE.replace(r#""1""#, &format!(r#""{id}""#)))),
        id.clone().prop_map(|id| Act::Says(format!(r#"{{"id":"{id}","type":"complete"}}"#))),
        "\\PC{0,40}".prop_map(Act::Says),
        id.clone().prop_map(Act::Answered),
        id.clone().prop_map(Act::Refused),
        id.prop_map(Act::Finished),
    ]
}

proptest! {
    /// Whatever happens in whatever order: answers only to what runs, and never two operations under one id.
    #[test]
    fn answers_go_only_to_what_runs(acts in prop::collection::vec(act(), 0..60)) {
        let mut protocol = Protocol::default();
        let mut acknowledged = false;
        let mut running: HashMap<String, ()> = HashMap::new();
        for act in acts {
            match act {
                Act::Welcomed if protocol.is_initialised() => {
                    protocol.welcome();
                    acknowledged = true;
                }
                Act::Welcomed => {}
                Act::Says(text) => match protocol.receive(&text) {
                    Step::Start(id, _) => {
                        prop_assert!(acknowledged);
                        prop_assert!(running.insert(id, ()).is_none());
                    }
                    Step::Stop(id) => prop_assert!(running.remove(&id).is_some()),
                    Step::Close(_) => return Ok(()),
                    Step::Rest | Step::Send(_) | Step::Identify(_) => {}
                },
                Act::Answered(id) => {
                    let id = id.to_string();
                    prop_assert_eq!(protocol.next(&id, &answer()).is_some(), running.contains_key(&id));
                }
                Act::Refused(id) => {
                    let id = id.to_string();
                    prop_assert_eq!(protocol.refuse(&id, &answer()).is_some(), running.remove(&id).is_some());
                }
                Act::Finished(id) => {
                    let id = id.to_string();
                    prop_assert_eq!(protocol.complete(&id).is_some(), running.remove(&id).is_some());
                }
            }
        }
    }
}
