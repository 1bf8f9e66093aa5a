//! What a document costs, found out with its validation and before it is executed.
//!
//! An extension of the library can tell, but where there is one, every field of every answer goes through it: a third
//! of the time that a list takes. So validating is a schema of its own, which never executes anything, and the one that
//! executes has no extensions and need not validate again.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute, NextValidation};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Request, Response, ServerError, ValidationResult, Value, Variables};

/// Makes a schema validate only: it answers every document that is valid with its cost.
pub(super) struct Pricing;

#[derive(Default)]
struct Price(Mutex<Option<usize>>);

impl ExtensionFactory for Pricing {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Price::default())
    }
}

#[async_trait]
impl Extension for Price {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let valid = next.run(ctx).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(valid.complexity);
        Ok(valid)
    }

    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        let cost = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Response::new(Value::from(cost.unwrap_or_default()))
    }
}

/// A request like another, with nothing for resolvers.
pub(super) fn enquiry(document: &ExecutableDocument, name: Option<&str>, variables: &Variables) -> Request {
    let mut request = Request::new(String::new()).variables(variables.clone());
    request.operation_name = name.map(str::to_owned);
    request.set_parsed_query(document.clone());
    request
}
