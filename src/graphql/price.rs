//! What a document costs, found out with its validation and before it is executed.
//!
//! An extension of the library can tell, but where there is one, every field of every answer goes through it: a third
//! of the time that a list takes. So validating is a schema of its own, which never executes anything, and the one that
//! executes has no extensions and need not validate again. The price is that of [`written_out`], by a schema that does
//! nothing else: what the library's own count passes over is in it.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute, NextValidation};
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, InlineFragment, Selection, SelectionSet, TypeCondition,
};
use async_graphql::{Name, Positioned, Request, Response, ServerError, ValidationResult, Value, Variables};

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
pub(super) fn enquiry(document: ExecutableDocument, name: Option<&str>, variables: &Variables) -> Request {
    let mut request = Request::new(String::new()).variables(variables.clone());
    request.operation_name = name.map(str::to_owned);
    request.set_parsed_query(document);
    request
}

/// The cost that was answered to an enquiry.
pub(super) fn read(answer: &Response) -> usize {
    let Value::Number(cost) = &answer.data else { return 0 };
    cost.as_u64().and_then(|cost| usize::try_from(cost).ok()).unwrap_or_default()
}

/// A document in which everything counts that is executed. Not to be executed, nor to be validated.
///
/// The library's count looks fields up in the type that stands around a named fragment, not in the fragment's own: where
/// that is an interface it finds none, and counts lists as single fields. So each spread is put into an inline fragment of
/// that type. And it passes over `__typename`, which is executed as often as any field: it gets a name that is counted.
pub(super) fn written_out(document: &ExecutableDocument) -> ExecutableDocument {
    let mut written = document.clone();
    let condition = |name: &Name| document.fragments.get(name).map(|it| it.node.type_condition.clone());
    match &mut written.operations {
        DocumentOperations::Single(operation) => {
            write_out(&mut operation.node.selection_set.node, &condition)
        }
        DocumentOperations::Multiple(operations) => {
            operations.values_mut().for_each(|it| write_out(&mut it.node.selection_set.node, &condition));
        }
    }
    for fragment in written.fragments.values_mut() {
        write_out(&mut fragment.node.selection_set.node, &condition);
    }
    written
}

fn write_out(set: &mut SelectionSet, condition: &impl Fn(&Name) -> Option<Positioned<TypeCondition>>) {
    for selection in &mut set.items {
        match &mut selection.node {
            Selection::Field(field) if field.node.name.node == "__typename" => {
                field.node.name.node = Name::new("typename");
            }
            Selection::Field(field) => write_out(&mut field.node.selection_set.node, condition),
            Selection::InlineFragment(inline) => write_out(&mut inline.node.selection_set.node, condition),
            Selection::FragmentSpread(spread) => {
                let type_condition = condition(&spread.node.fragment_name.node);
                let items = vec![selection.clone()];
                let selection_set = Positioned::new(SelectionSet { items }, selection.pos);
                let inline = InlineFragment { type_condition, directives: Vec::new(), selection_set };
                selection.node = Selection::InlineFragment(Positioned::new(inline, selection.pos));
            }
        }
    }
}
