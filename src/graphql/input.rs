//! The rules for what people type: trimmed, of bounded length, in any script, without control characters.

use async_graphql::MaybeUndefined;

use super::error::{ApiError, Result};
use crate::auth::{is_handle, is_password};

/// A line of text of `least` to `most` characters.
pub(super) fn line(field: &'static str, text: &str, least: usize, most: usize) -> Result<String> {
    let text = within(field, text, least, most)?;
    if text.chars().any(|character| character.is_control() || is_separator(character)) {
        return Err(ApiError::bad(field, "it must be one line without control characters"));
    }
    Ok(text)
}

/// Text of any number of lines, up to `most` characters.
pub(super) fn text(field: &'static str, text: &str, most: usize) -> Result<String> {
    let text = within(field, &text.replace("\r\n", "\n"), 0, most)?;
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
        return Err(ApiError::bad(field, "it must be without control characters"));
    }
    Ok(text)
}

/// A user's handle.
pub(super) fn handle(field: &'static str, handle: &str) -> Result<String> {
    if is_handle(handle) {
        Ok(handle.to_owned())
    } else {
        Err(ApiError::bad(field, "3 to 30 characters of a-z, 0-9 and _"))
    }
}

/// A topic's slug.
pub(super) fn slug(field: &'static str, slug: &str) -> Result<String> {
    if is_slug(slug) {
        Ok(slug.to_owned())
    } else {
        Err(ApiError::bad(field, "up to 50 characters of a-z and 0-9, with single hyphens between"))
    }
}

/// A handle to look somebody up by. One that nobody can have becomes the empty one, which nobody has: the database
/// would not even take some of them.
pub(super) fn known_handle(handle: String) -> String {
    Some(handle).filter(|handle| is_handle(handle)).unwrap_or_default()
}

/// A slug to look a topic up by, as [`known_handle`].
pub(super) fn known_slug(slug: String) -> String {
    Some(slug).filter(|slug| is_slug(slug)).unwrap_or_default()
}

/// A new password.
pub(super) fn password(field: &'static str, password: &str) -> Result<()> {
    if is_password(password) { Ok(()) } else { Err(ApiError::bad(field, "8 to 200 characters")) }
}

/// The key under which a mutation is done once.
pub(super) fn idempotency_key(key: &str) -> Result<()> {
    if (1..=100).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(ApiError::bad("input.idempotencyKey", "1 to 100 visible characters of ASCII, such as a UUID"))
    }
}

/// The address of a picture.
pub(super) fn image_url(field: &'static str, url: &str) -> Result<String> {
    let url = line(field, url, 1, 2000)?;
    let local = url.starts_with('/') && !url.starts_with("//");
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&byte));
    if plain && (local || url.starts_with("https://") || url.starts_with("http://")) {
        Ok(url)
    } else {
        Err(ApiError::bad(field, "an address that begins with https://, http:// or a single /"))
    }
}

/// The words of a search, each of which must be found.
pub(super) fn words(field: &'static str, search: &str) -> Result<Vec<String>> {
    let search = line(field, search, 0, 100)?;
    Ok(search.split_whitespace().take(8).map(str::to_owned).collect())
}

/// A field of an update that cannot be cleared: absent, it stays; `null` is refused.
pub(super) fn kept<T>(field: &'static str, value: MaybeUndefined<T>) -> Result<Option<T>> {
    match value {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Err(ApiError::bad(field, "it cannot be null; leave it out to keep it")),
        MaybeUndefined::Value(value) => Ok(Some(value)),
    }
}

fn is_slug(slug: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    slug.len() <= 50 && slug.split('-').all(|part| !part.is_empty() && part.bytes().all(fits))
}

fn within(field: &'static str, text: &str, least: usize, most: usize) -> Result<String> {
    let text = text.trim();
    let length = text.chars().count();
    if (least..=most).contains(&length) {
        return Ok(text.to_owned());
    }
    Err(match least {
        0 => ApiError::bad(field, format!("at most {most} characters")),
        _ => ApiError::bad(field, format!("{least} to {most} characters")),
    })
}

/// Characters that break a line or turn its direction round without being control characters.
fn is_separator(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_of_any_script_but_not_break_a_line() {
        assert_eq!(line("name", "  围棋直播 🎥 ", 1, 100), Ok("围棋直播 🎥".to_owned()));
        for broken in ["", "   ", "a\nb", "a\u{0}b", "a\u{202E}b", &"x".repeat(101)] {
            assert!(line("name", broken, 1, 100).is_err(), "{broken:?}");
        }
        assert_eq!(line("name", &"界".repeat(100), 1, 100), Ok("界".repeat(100)));
    }

    #[test]
    fn addresses_of_pictures_are_those_of_the_web() {
        for good in ["https://a.example/b.png", "/media/x.png"] {
            assert!(image_url("imageUrl", good).is_ok(), "{good}");
        }
        for bad in ["javascript:alert(1)", "//evil.example/x", "data:x", "https://a b", "http://x\"y"] {
            assert!(image_url("imageUrl", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slug_has_single_hyphens_inside() {
        assert!(slug("slug", "just-chatting-2").is_ok());
        for bad in ["", "-a", "a-", "a--b", "A", "ä"] {
            assert!(slug("slug", bad).is_err(), "{bad}");
        }
    }
}
