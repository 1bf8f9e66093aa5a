//! Idempotency keys: what a client says to be able to ask again when an answer was lost.

use async_graphql::{Context, InputType, Value};

use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use crate::store::{Attempt, Mutation};

/// The attempt that a mutation's input is, when it comes with a key.
pub(super) fn attempt<'a>(
    ctx: &Context<'_>,
    mutation: Mutation,
    whole: &impl InputType,
    key: Option<&'a str>,
) -> Result<Option<Attempt<'a>>> {
    let Some(key) = key else { return Ok(None) };
    input::idempotency_key(key)?;
    let user = ctx.viewer().id().ok_or(ApiError::Unauthenticated("sign in first"))?;
    let written = written(whole.to_value());
    Ok(Some(Attempt::new(user, mutation, key, written.as_bytes(), ctx.parts().clock.now())))
}

/// A key that stands for another request.
pub(super) fn other_input() -> ApiError {
    let why = "this key came with another input before; take a new one".to_owned();
    ApiError::Conflict { field: "input.idempotencyKey", why }
}

/// An input in one spelling. What was left out is not in it, so that a field which a later version adds does not
/// make another request of a retry.
fn written(mut input: Value) -> String {
    if let Value::Object(fields) = &mut input {
        fields.retain(|_, value| *value != Value::Null);
    }
    input.to_string()
}
