//! From a client's JSON to an operation that may be executed, and from a response to what a client is told;
//! the same over HTTP and over a WebSocket.

use std::net::IpAddr;
use std::sync::Arc;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{ErrorExtensionValues, Name, Request, Response, ServerError, Variables};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::RequestId;
use super::documents::{self, Document, Documents, Hash};
use crate::realtime::Key;

/// The most errors in one answer: whoever has more reads the first ones anyway.
const MAX_ERRORS: usize = 5;
/// The longest message of an error, in bytes: names may be repeated in it.
const MAX_MESSAGE: usize = 400;

/// What a client sends, each member of the right type, nothing looked at yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parameters {
    /// Empty when the document is only named, by its hash.
    query: String,
    hash: Option<Hash>,
    operation_name: Option<String>,
    variables: Map<String, Value>,
    extensions: Map<String, Value>,
}

/// A document that was let through, and which of its operations is meant.
pub(super) struct Operation {
    pub(super) request: Request,
    pub(super) document: Arc<Document>,
    pub(super) kind: OperationType,
    pub(super) name: Option<String>,
}

impl Parameters {
    /// # Errors
    /// What is not as it should be, for the client to read.
    pub(super) fn from_json(json: Value) -> Result<Self, &'static str> {
        let Value::Object(mut members) = json else {
            return Err("The request must be one JSON object; batches are not taken.");
        };
        let extensions = object(members.remove("extensions")).ok_or("`extensions` must be an object.")?;
        let hash = extensions.get("persistedQuery").map(persisted).transpose()?;
        let query = match (members.remove("query"), hash) {
            (Some(Value::String(query)), _) => query,
            (None | Some(Value::Null), Some(_)) => String::new(),
            _ => return Err("`query` must be a string."),
        };
        let operation_name = match members.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err("`operationName` must be a string."),
        };
        let variables = object(members.remove("variables")).ok_or("`variables` must be an object.")?;
        Ok(Self { query, hash, operation_name, variables, extensions })
    }

    /// What tells equal requests from others.
    pub(super) fn digest(&self) -> Key {
        let variables = Value::Object(self.variables.clone()).to_string();
        let extensions = Value::Object(self.extensions.clone()).to_string();
        let name = self.operation_name.as_deref().map(|name| format!("={name}")).unwrap_or_default();
        let mut digest = Sha256::new();
        for part in [&self.query, &name, &variables, &extensions] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// The document that is meant.
    fn document(&self, documents: &Documents) -> Result<Arc<Document>, ServerError> {
        match self.hash {
            Some(hash) if self.query.is_empty() => {
                let known = documents.named(&hash);
                known.ok_or_else(|| error("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound"))
            }
            Some(hash) if hash != documents::hash_of(&self.query) => {
                Err(error("DOCUMENT_REFUSED", "The hash in `persistedQuery` is not that of the document."))
            }
            _ => documents.read(&self.query),
        }
    }

    /// Finds the document among those that are known, or scans and parses it. `address` is the client's, which
    /// resolvers find as an [`IpAddr`].
    ///
    /// # Errors
    /// Why it is refused, ready to be sent.
    pub(super) fn admit(
        self,
        documents: &Documents,
        address: Option<IpAddr>,
    ) -> Result<Operation, ServerError> {
        let document = self.document(documents)?;
        document.admit(&self.variables, &self.extensions)?;
        let mut request =
            Request::new(&*document.text).variables(Variables::from_json(Value::Object(self.variables)));
        request.set_parsed_query((*document.parsed).clone());
        request.operation_name = self.operation_name;
        if let Ok(extensions) = serde_json::from_value(Value::Object(self.extensions)) {
            request.extensions = extensions;
        }
        if let Some(address) = address {
            request = request.data(address);
        }
        let (wanted, given) = (request.operation_name.clone(), request.variables.clone());
        let (name, operation) = chosen(&document.parsed, wanted)?;
        let kind = operation.ty;
        runs_once(&document.parsed, operation)?;
        let left_out = lengths_left_out(&document.parsed, operation, &given);
        for variable in left_out {
            request.variables.insert(variable, async_graphql::Value::Null);
        }
        Ok(Operation { request, document, kind, name })
    }
}

/// The variables of pages' lengths that the client declares and does not give. GraphQL says that this leaves the
/// argument out, but the library prices a list before it runs and takes it for a mistake there. For a length, null
/// means the same.
fn lengths_left_out(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    given: &Variables,
) -> Vec<Name> {
    let mut used = Vec::new();
    lengths(&operation.selection_set.node, &mut used);
    document.fragments.values().for_each(|it| lengths(&it.node.selection_set.node, &mut used));
    let declared = operation.variable_definitions.iter().map(|variable| &variable.node);
    let optional =
        declared.filter(|variable| variable.var_type.node.nullable && variable.default_value.is_none());
    let names = optional.map(|variable| &variable.name.node);
    let left_out =
        names.filter(|name| used.iter().any(|it| name.as_str() == it) && !given.contains_key(*name));
    left_out.cloned().collect()
}

/// The variables that stand for a page's length anywhere in a selection set.
fn lengths(set: &SelectionSet, used: &mut Vec<String>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                for argument in ["first", "last"] {
                    let value = field.node.get_argument(argument).map(|value| value.node.to_string());
                    used.extend(value.and_then(|value| value.strip_prefix('$').map(str::to_owned)));
                }
                lengths(&field.node.selection_set.node, used);
            }
            Selection::InlineFragment(inline) => lengths(&inline.node.selection_set.node, used),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// The operation that `wanted` names, or the only one there is.
fn chosen(
    document: &ExecutableDocument,
    wanted: Option<String>,
) -> Result<(Option<String>, &OperationDefinition), ServerError> {
    match (&document.operations, wanted) {
        (DocumentOperations::Single(operation), None) => Ok((None, &operation.node)),
        (DocumentOperations::Multiple(named), None) => match named.iter().next() {
            Some((name, operation)) if named.len() == 1 => Ok((Some(name.to_string()), &operation.node)),
            _ => Err(error("DOCUMENT_REFUSED", "`operationName` must say which operation is meant.")),
        },
        (DocumentOperations::Multiple(named), Some(name)) if named.contains_key(name.as_str()) => {
            let operation = &named[name.as_str()].node;
            Ok((Some(name), operation))
        }
        _ => Err(error("DOCUMENT_REFUSED", "The document has no operation of that name.")),
    }
}

/// The keys of a selection set's fields once fragments are expanded, which the scan has bounded.
fn keys<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet, found: &mut Vec<&'a str>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => found.push(field.node.response_key().node.as_str()),
            Selection::InlineFragment(inline) => keys(document, &inline.node.selection_set.node, found),
            Selection::FragmentSpread(spread) => {
                // That a fragment is missing is said better by validation.
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    keys(document, &fragment.node.selection_set.node, found);
                }
            }
        }
    }
}

/// The library runs a field once for each time that it is selected, where GraphQL says once for each key: a
/// mutation would happen twice, a subscription would open a stream each.
fn runs_once(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<(), ServerError> {
    let mut found = Vec::new();
    if operation.ty != OperationType::Query {
        keys(document, &operation.selection_set.node, &mut found);
    }
    let selected = found.len();
    found.sort_unstable();
    found.dedup();
    match operation.ty {
        OperationType::Subscription if selected > 1 => {
            Err(error("DOCUMENT_REFUSED", "A subscription selects one field, once."))
        }
        OperationType::Mutation if found.len() < selected => Err(error(
            "DOCUMENT_REFUSED",
            "A mutation selects each of its fields once; use aliases to repeat one.",
        )),
        _ => Ok(()),
    }
}

/// The hash by which a client names a document, as Apollo's clients do.
fn persisted(named: &Value) -> Result<Hash, &'static str> {
    let hash = named["sha256Hash"].as_str().filter(|_| named["version"] == 1);
    let hash = hash.filter(|hash| hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let hash =
        hash.ok_or("`persistedQuery` must have `version` 1 and a `sha256Hash` of 64 hexadecimal digits.")?;
    let mut bytes = Hash::default();
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        let digits = digits.iter().filter_map(|digit| char::from(*digit).to_digit(16));
        *byte = digits.fold(0, |byte, digit| byte << 4 | digit as u8);
    }
    Ok(bytes)
}

fn object(value: Option<Value>) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(members)) => Some(members),
        Some(_) => None,
    }
}

/// An error with a code and without a path.
pub(super) fn error(code: &str, message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", code);
    error
}

/// The code of an error, if it has one.
pub(super) fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Some(code),
        async_graphql::Value::Enum(code) => Some(code.as_str()),
        _ => None,
    }
}

/// A response as it goes over the wire: `data` is absent when nothing was executed.
#[derive(Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<ServerError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<async_graphql::Value>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    extensions: std::collections::BTreeMap<String, async_graphql::Value>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        // An error without a path was not met at a field: the request itself was wrong, and nothing ran.
        let ran = response.data != async_graphql::Value::Null
            || response.errors.is_empty()
            || response.errors.iter().any(|error| !error.path.is_empty());
        let errors = response.errors.into_iter().take(MAX_ERRORS).map(tidy).collect();
        Self { errors, data: ran.then_some(response.data), extensions: response.extensions }
    }
}

impl From<ServerError> for Answer {
    fn from(error: ServerError) -> Self {
        Self { errors: vec![tidy(error)], data: None, extensions: Default::default() }
    }
}

impl Answer {
    /// Tells the id of the request with whatever went wrong on our side, so that its cause is found in the log.
    pub(super) fn with_id(mut self, id: &RequestId) -> Self {
        let ours = self.errors.iter_mut().filter(|error| code(error) == Some("INTERNAL"));
        for extensions in ours.filter_map(|error| error.extensions.as_mut()) {
            if extensions.get("requestId").is_none() {
                extensions.set("requestId", &*id.0);
            }
        }
        self
    }

    /// Its errors alone, as a list in JSON.
    pub(super) fn errors_to_json(&self) -> String {
        serde_json::to_string(&self.errors).unwrap_or_else(|_| "[]".to_owned())
    }

    /// The answer as JSON text.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|cause| {
            tracing::error!(%cause, "a response could not be written");
            r#"{"errors":[{"message":"Something went wrong here.","extensions":{"code":"INTERNAL"}}]}"#
                .to_owned()
        })
    }
}

/// Makes an error short, gives it its code when it is about the document, and keeps the document out of it.
fn tidy(mut error: ServerError) -> ServerError {
    // The parser draws the source line over several lines and says last what it expected there.
    if let Some((_, last)) = error.message.rsplit_once('\n') {
        error.message = format!("Syntax error: {}", last.trim_start().trim_start_matches("= "));
    }
    if error.message.len() > MAX_MESSAGE {
        let end = error.message.floor_char_boundary(MAX_MESSAGE);
        error.message.truncate(end);
        error.message.push('…');
    }
    error.locations.truncate(MAX_ERRORS);
    if code(&error).is_none() {
        let code = missing_code(&mut error);
        error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", code);
    }
    let code = code(&error).unwrap_or_default().to_owned();
    metrics::counter!("tally_errors_total", "code" => code).increment(1);
    error
}

/// The code of an error to which the graph gave none: the library made it, or somebody forgot, and what they
/// wrote is not for clients.
fn missing_code(error: &mut ServerError) -> &'static str {
    if error.path.is_empty() {
        "DOCUMENT_REFUSED"
    } else if error.message.starts_with("Failed to parse") {
        "BAD_USER_INPUT"
    } else {
        tracing::error!(cause = error.message, "a resolver's error has no code");
        "Something went wrong here.".clone_into(&mut error.message);
        "INTERNAL"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admit(query: &str, name: Option<&str>) -> Result<Operation, String> {
        let parameters = Parameters::from_json(json!({"query": query, "operationName": name})).unwrap();
        parameters.admit(&Documents::default(), None).map_err(|error| tidy(error).message)
    }

    #[test]
    fn the_operation_that_is_meant_is_found() {
        let both = "query A { a } mutation B { b }";
        assert_eq!(admit(both, Some("B")).ok().map(|it| it.kind), Some(OperationType::Mutation));
        assert_eq!(admit("subscription A { a }", None).ok().and_then(|it| it.name), Some("A".to_owned()));
        assert!(admit(both, None).is_err_and(|message| message.contains("operationName")));
        assert!(admit(both, Some("C")).is_err_and(|message| message.contains("no operation of that name")));
        assert!(admit("{ a }", Some("A")).is_err());
    }

    #[test]
    fn a_subscription_selects_one_field_once() {
        for one in
            ["subscription { a }", "subscription { ... { ...F } } fragment F on Subscription { a { b c } }"]
        {
            assert!(admit(one, None).is_ok(), "{one}");
        }
        for other in
            ["subscription { a b }", "subscription { a a }", "subscription { a ...F } fragment F on S { a }"]
        {
            assert!(admit(other, None).is_err_and(|message| message.contains("one field")), "{other}");
        }
    }

    #[test]
    fn a_mutation_does_nothing_twice_unless_it_says_so() {
        for twice in
            ["mutation { a a }", "mutation { a: b ... { a } }", "mutation { ...F a } fragment F on M { a }"]
        {
            assert!(admit(twice, None).is_err_and(|message| message.contains("use aliases")), "{twice}");
        }
        assert!(admit("mutation { a b: a }", None).is_ok());
        assert!(admit("{ a a }", None).is_ok());
    }

    #[test]
    fn an_error_is_short_and_never_shows_the_document() {
        let message = admit("{ secret(secret: secret) { secret(} }", None).err().unwrap();
        assert!(!message.contains("secret"), "{message}");
        let message = admit("{ secret(secret: ) }", None).err().unwrap();
        assert!(message.starts_with("Syntax error: expected") && !message.contains("secret"), "{message}");
        let long = Answer::from(ServerError::new("é".repeat(1000), None));
        assert!(long.errors[0].message.len() <= MAX_MESSAGE + 3);
        assert_eq!(code(&long.errors[0]), Some("DOCUMENT_REFUSED"));
        let many = Response::from_errors(vec![ServerError::new("x", None); 1000]);
        assert_eq!(Answer::from(many).errors.len(), MAX_ERRORS);
    }

    #[test]
    fn members_of_the_wrong_type_are_told_apart() {
        for (wrong, told) in [
            (json!([{"query": "{a}"}]), "one JSON object"),
            (json!({"query": 1}), "`query`"),
            (json!({"query": "{a}", "operationName": []}), "`operationName`"),
            (json!({"query": "{a}", "variables": []}), "`variables`"),
            (json!({"query": "{a}", "extensions": "x"}), "`extensions`"),
        ] {
            assert!(Parameters::from_json(wrong).is_err_and(|message| message.contains(told)));
        }
        assert!(Parameters::from_json(json!({"query": "{a}", "variables": null, "more": 1})).is_ok());
    }
}
