//! Pages as Relay's connections have them: `first` with `after`, or `last` with `before`, 1 to 100 at a time.

use async_graphql::{Context, SimpleObject};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::error::{ApiError, Result};
use crate::store::{Page, Place, Position, Slice};

/// A page's length when none is asked for.
const DEFAULT: i32 = 20;
const MOST: i32 = 100;

/// Where a page stands in its list.
#[derive(Clone, SimpleObject)]
pub(super) struct PageInfo {
    /// Whether there is more behind `endCursor`: ask for it with `first` and `after`.
    has_next_page: bool,
    /// Whether there is more before `startCursor`: ask for it with `last` and `before`.
    has_previous_page: bool,
    /// The first edge's cursor, null when the page is empty.
    start_cursor: Option<String>,
    /// The last edge's cursor, null when the page is empty.
    end_cursor: Option<String>,
}

/// What a client asked for.
pub(super) struct PageArguments {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

impl PageArguments {
    /// The page that is meant.
    pub(super) fn page(self) -> Result<Page> {
        let limit = |field, count: Option<i32>| match count.unwrap_or(DEFAULT) {
            count @ 1..=MOST => Ok(i64::from(count)),
            _ => Err(ApiError::bad(field, "1 to 100")),
        };
        let after = self.after.map(|cursor| place("after", &cursor)).transpose()?;
        let before = self.before.map(|cursor| place("before", &cursor)).transpose()?;
        match (self.first, self.last) {
            (Some(_), Some(_)) => {
                Err(ApiError::bad("last", "ask for the first or for the last, not for both"))
            }
            (first, None) => Ok(Page { limit: limit("first", first)?, from_end: false, after, before }),
            (None, last) => Ok(Page { limit: limit("last", last)?, from_end: true, after, before }),
        }
    }
}

/// What a list costs whatever is asked of it: a statement, which takes PostgreSQL as long as hundreds of fields take us.
pub(super) const LIST: usize = 300;
/// What a row costs that is asked for by itself: a statement of its own, of the cheapest kind.
pub(super) const ROW: usize = 40;

/// What a page costs, for the limit on complexity: the list, and as many of its inside as it may hold.
pub(super) fn cost(first: Option<i32>, last: Option<i32>, inside: usize) -> usize {
    // A page of one is charged as a usual one: what is asked of a list as a whole, its count, costs as much for either.
    let asked = first.or(last).unwrap_or(DEFAULT).clamp(DEFAULT, MOST);
    LIST + usize::try_from(asked).unwrap_or(1) * inside
}

/// Whether one of these fields is asked of the rows of the list that is being resolved.
pub(super) fn rows_are_asked_for(ctx: &Context<'_>, fields: &[&str]) -> bool {
    let list = ctx.look_ahead();
    let rows = [list.field("nodes"), list.field("edges").field("node")];
    rows.iter().any(|row| fields.iter().any(|field| row.field(field).exists()))
}

/// The rows of a page with their cursors, and where it stands.
pub(super) fn lay_out<T>(slice: Slice<T>, place: impl Fn(&T) -> Place) -> (Vec<(String, T)>, PageInfo) {
    let rows: Vec<(String, T)> = slice.rows.into_iter().map(|row| (cursor(&place(&row)), row)).collect();
    let info = PageInfo {
        has_next_page: slice.has_next,
        has_previous_page: slice.has_previous,
        start_cursor: rows.first().map(|(cursor, _)| cursor.clone()),
        end_cursor: rows.last().map(|(cursor, _)| cursor.clone()),
    };
    (rows, info)
}

/// An opaque cursor: the kind of the order, the id, the key.
fn cursor(place: &Place) -> String {
    let (kind, id, key) = match place {
        Place::Id(id) => (b'i', id, Vec::new()),
        Place::Text(key, id) => (b't', id, key.as_bytes().to_vec()),
        Place::Views(key, id) => (b'v', id, key.to_be_bytes().to_vec()),
        Place::Viewers(key, id) => (b'w', id, key.to_be_bytes().to_vec()),
    };
    URL_SAFE_NO_PAD.encode([&[kind][..], id.as_bytes(), &key].concat())
}

fn place(field: &'static str, cursor: &str) -> Result<Place> {
    let unknown = || ApiError::bad(field, "not a cursor of this list");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown())?;
    let (kind, rest) = bytes.split_first().ok_or_else(unknown)?;
    let (id, key) = rest.split_first_chunk::<16>().ok_or_else(unknown)?;
    let id = Uuid::from_bytes(*id);
    match kind {
        b'i' if key.is_empty() => Ok(Place::Id(id)),
        b't' => match String::from_utf8(key.to_vec()) {
            Ok(text) if !text.contains('\0') => Ok(Place::Text(text, id)),
            _ => Err(unknown()),
        },
        b'v' => Ok(Place::Views(number(key).ok_or_else(unknown)?, id)),
        b'w' => Ok(Place::Viewers(number(key).ok_or_else(unknown)?, id)),
        _ => Err(unknown()),
    }
}

fn number(key: &[u8]) -> Option<i64> {
    key.try_into().map(i64::from_be_bytes).ok()
}

/// A cursor must be of the order that it is used with.
pub(super) fn same_order(page: &Page, sample: &Place) -> Result<()> {
    let kind = std::mem::discriminant(sample);
    let fits =
        |place: &Option<Place>| place.as_ref().is_none_or(|place| std::mem::discriminant(place) == kind);
    match (fits(&page.after), fits(&page.before)) {
        (true, true) => Ok(()),
        (false, _) => Err(ApiError::bad("after", "this cursor belongs to another order")),
        _ => Err(ApiError::bad("before", "this cursor belongs to another order")),
    }
}

/// The cursor of a place in the event log.
pub(super) fn event_cursor(position: Position) -> String {
    URL_SAFE_NO_PAD.encode([position.epoch.as_bytes().as_slice(), &position.number.to_be_bytes()].concat())
}

/// The place in the event log that a cursor means.
pub(super) fn event_position(cursor: &str) -> Result<Position> {
    let unknown = || ApiError::bad("after", "not a cursor of the event log");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown())?;
    let (epoch, number) = bytes.split_first_chunk::<16>().ok_or_else(unknown)?;
    let number = i64::from_be_bytes(number.try_into().map_err(|_| unknown())?);
    Ok(Position { epoch: Uuid::from_bytes(*epoch), number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_its_place(key: i64, text in "[^\0]{0,20}", id: u128) {
            let id = Uuid::from_u128(id);
            for there in [Place::Id(id), Place::Text(text, id), Place::Views(key, id), Place::Viewers(key, id)] {
                prop_assert_eq!(place("after", &cursor(&there)), Ok(there));
            }
            let position = Position { epoch: id, number: key };
            prop_assert_eq!(event_position(&event_cursor(position)), Ok(position));
        }

        #[test]
        fn no_cursor_is_a_danger(cursor: String) {
            let _ = (place("after", &cursor), event_position(&cursor));
        }
    }
}
