use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SUBSCRIBE: &str = r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#;

/// What a text comes to; an operation that begins is held by its ticket.
fn hear(protocol: &mut Protocol<Ticket>, text: &str) -> Step<Ticket> {
    let Some(message) = Message::read(text) else { return Step::Close(Close::BadRequest) };
    let step = protocol.receive(message);
    if let Step::Start(ticket, _) = step {
        protocol.running(ticket).unwrap().handle = Some(ticket);
    }
    step
}

fn begin(protocol: &mut Protocol<Ticket>, text: &str) -> Ticket {
    match hear(protocol, text) {
        Step::Start(ticket, _) => ticket,
        other => panic!("expected a start, got {other:?}"),
    }
}

fn acknowledged() -> Protocol<Ticket> {
    let mut protocol = Protocol::default();
    assert_eq!(hear(&mut protocol, r#"{"type":"connection_init"}"#), Step::Identify(None));
    assert_eq!(protocol.welcome(), r#"{"type":"connection_ack"}"#);
    protocol
}

fn close(step: Step<Ticket>) -> (u16, String) {
    match step {
        Step::Close(close) => close.code_and_reason(),
        other => panic!("expected a close, got {other:?}"),
    }
}

#[test]
fn an_operation_runs_from_subscribe_to_complete() {
    let mut protocol = acknowledged();
    let ticket = begin(&mut protocol, SUBSCRIBE);
    let id = &protocol.running(ticket).unwrap().id;
    assert_eq!(next(id, r#"{"data":1}"#).concat(), r#"{"id":"1","type":"next","payload":{"data":1}}"#);
    assert_eq!(complete(id).concat(), r#"{"id":"1","type":"complete"}"#);
    assert!(protocol.end(ticket).is_some());
    assert!(protocol.end(ticket).is_none());
    assert!(begin(&mut protocol, SUBSCRIBE) != ticket, "the id is free again, and stands for another");
}

#[test]
fn nothing_is_sent_for_what_the_client_has_completed() {
    let mut protocol = acknowledged();
    let ticket = begin(&mut protocol, SUBSCRIBE);
    assert_eq!(hear(&mut protocol, r#"{"id":"1","type":"complete"}"#), Step::Stop(ticket));
    assert!(protocol.running(ticket).is_none());
    assert!(protocol.end(ticket).is_none());
    assert_eq!(hear(&mut protocol, r#"{"id":"1","type":"complete"}"#), Step::Rest);
}

#[test]
fn an_error_carries_the_errors_as_a_list() {
    let refused: Answer = error("DOCUMENT_REFUSED", "no").into();
    let text = refusal("\"1\"", &refused.errors_to_json()).concat();
    let json: Value = serde_json::from_str(&text).unwrap();
    let errors = serde_json::json!([{"message": "no", "extensions": {"code": "DOCUMENT_REFUSED"}}]);
    assert_eq!(json, serde_json::json!({"id": "1", "type": "error", "payload": errors}));
}

#[test]
fn each_breach_of_the_protocol_has_its_code() {
    let fresh = |text: &str| close(hear(&mut Protocol::default(), text));
    let ready = |text: &str| close(hear(&mut acknowledged(), text));
    assert_eq!(fresh(SUBSCRIBE), (4401, "Unauthorized".to_owned()));
    assert_eq!(ready(r#"{"type":"connection_init"}"#).0, 4429);
    let mut twice = Protocol::default();
    hear(&mut twice, r#"{"type":"connection_init"}"#);
    assert_eq!(close(hear(&mut twice, r#"{"type":"connection_init"}"#)).0, 4429);
    let mut waiting = Protocol::default();
    hear(&mut waiting, r#"{"type":"connection_init"}"#);
    assert_eq!(close(hear(&mut waiting, SUBSCRIBE)).0, 4401);
    let mut busy = acknowledged();
    hear(&mut busy, SUBSCRIBE);
    assert_eq!(close(hear(&mut busy, SUBSCRIBE)), (4409, "Subscriber for 1 already exists".to_owned()));
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
        let text = serde_json::json!({"type": "connection_init", "payload": payload}).to_string();
        hear(&mut Protocol::default(), &text)
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
    assert_eq!(hear(&mut protocol, r#"{"type":"ping"}"#), Step::Send(r#"{"type":"pong"}"#.to_owned()));
    let with = hear(&mut protocol, r#"{"type":"ping","payload":{"a":1}}"#);
    assert_eq!(with, Step::Send(r#"{"payload":{"a":1},"type":"pong"}"#.to_owned()));
    assert_eq!(hear(&mut protocol, r#"{"type":"pong","payload":{"a":1}}"#), Step::Rest);
}

#[test]
fn one_operation_too_many_is_refused_and_the_others_go_on() {
    let mut protocol = acknowledged();
    let subscribe = |n: usize| SUBSCRIBE.replace(r#""1""#, &format!(r#""{n}""#));
    for n in 0..MAX_OPERATIONS {
        begin(&mut protocol, &subscribe(n));
    }
    let Step::Send(text) = hear(&mut protocol, &subscribe(MAX_OPERATIONS)) else {
        panic!("expected an error")
    };
    assert!(text.contains("RATE_LIMITED") && text.contains("retryAfterSeconds"), "{text}");
    protocol.end(7).unwrap();
    begin(&mut protocol, &subscribe(MAX_OPERATIONS));
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
    /// The so-many-th operation ends by itself.
    Ends(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let id = 0..4u8;
    prop_oneof![
        Just(Act::Says(r#"{"type":"connection_init"}"#.to_owned())),
        Just(Act::Welcomed),
        id.clone().prop_map(|id| Act::Says(SUBSCRIBE.replace(r#""1""#, &format!(r#""{id}""#)))),
        id.prop_map(|id| Act::Says(format!(r#"{{"id":"{id}","type":"complete"}}"#))),
        "\\PC{0,40}".prop_map(Act::Says),
        (0..20usize).prop_map(Act::Ends),
    ]
}

proptest! {
    /// Whatever happens in whatever order: answers only to what runs, and never two operations under one id.
    #[test]
    fn answers_go_only_to_what_runs(acts in prop::collection::vec(act(), 0..60)) {
        let mut protocol = Protocol::default();
        let mut acknowledged = false;
        let mut begun: Vec<Ticket> = Vec::new();
        let mut running: HashMap<Ticket, Box<str>> = HashMap::new();
        for act in acts {
            match act {
                Act::Welcomed if protocol.is_initialised() => {
                    protocol.welcome();
                    acknowledged = true;
                }
                Act::Welcomed => {}
                Act::Says(text) => match hear(&mut protocol, &text) {
                    Step::Start(ticket, _) => {
                        prop_assert!(acknowledged);
                        prop_assert!(!begun.contains(&ticket));
                        let id = protocol.running(ticket).unwrap().id.clone();
                        prop_assert!(running.values().all(|other| *other != id));
                        begun.push(ticket);
                        running.insert(ticket, id);
                    }
                    Step::Stop(ticket) => prop_assert!(running.remove(&ticket).is_some()),
                    Step::Close(_) => return Ok(()),
                    Step::Rest | Step::Send(_) | Step::Identify(_) => {}
                },
                Act::Ends(number) => {
                    let Some(ticket) = begun.get(number) else { continue };
                    prop_assert_eq!(protocol.end(*ticket).is_some(), running.remove(ticket).is_some());
                }
            }
            for ticket in &begun {
                prop_assert_eq!(protocol.running(*ticket).is_some(), running.contains_key(ticket));
            }
        }
    }
}
