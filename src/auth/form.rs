//! The forms of handles and passwords: the same at the API and at the command line.

/// Whether that can be a user's handle: 3 to 30 characters of a-z, 0-9 and _.
pub fn is_handle(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (3..=30).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether that can be a new password: 8 to 200 characters.
pub fn is_password(text: &str) -> bool {
    (8..=200).contains(&text.chars().count())
}
