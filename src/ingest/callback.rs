//! nginx-rtmp's callbacks, read from their bytes.
//!
//! The publisher's own arguments arrive raw behind nginx's fields (`name=KEY&type=live&name=EVIL…`), so the first
//! value of a field is nginx's and the only one that counts; bytes may be anything.

use std::borrow::Cow;
use std::net::IpAddr;

use percent_encoding::percent_decode;

/// The fields of a callback that we use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callback {
    /// The RTMP connection's number at that nginx.
    pub connection: i64,
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
    /// The stream's name as the client gave it: for a publisher, its key.
    pub name: Vec<u8>,
    /// The application; empty for nginx's own relay.
    pub application: Vec<u8>,
    /// `publish`, `update_publish`, `update_play` and so on.
    pub call: Vec<u8>,
    /// The timestamp of the last picture or sound, in milliseconds.
    pub media_time: i64,
}

/// The longest callback: names and arguments are at most 255 bytes each before encoding.
pub(super) const LONGEST: usize = 16 * 1024;

impl Callback {
    /// Reads a form; `None` when it has no `clientid`, so that it cannot be nginx's.
    pub fn parse(form: &[u8]) -> Option<Self> {
        let word = |field| first(form, field).and_then(|value| String::from_utf8(value.into_owned()).ok());
        let number = |field| word(field).and_then(|value| value.parse().ok());
        let bytes = |field| first(form, field).map(Cow::into_owned).unwrap_or_default();
        Some(Self {
            connection: number(b"clientid")?,
            address: word(b"addr").and_then(|value| value.parse().ok()),
            name: bytes(b"name"),
            application: bytes(b"app"),
            call: bytes(b"call"),
            media_time: number(b"timestamp").unwrap_or(0),
        })
    }
}

/// The first value of a field. In nginx's forms only percent signs encode; a plus stands for itself.
fn first<'a>(form: &'a [u8], field: &[u8]) -> Option<Cow<'a, [u8]>> {
    let value =
        form.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(field)?.strip_prefix(b"="))?;
    Some(percent_decode(value).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_value_counts_whatever_the_publisher_appends() {
        let form =
            b"app=live&flashver=FMLE/3.0%20(x&swfurl=&tcurl=rtmp://h/live&pageurl=&addr=127.0.0.1&clientid=7\
            &call=publish&name=k%41&type=live&name=evil&addr=192.0.2.1&clientid=1&app=admin&call=update_publish";
        let callback = Callback::parse(form).unwrap();
        assert_eq!(callback.connection, 7);
        assert_eq!(callback.address, Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(callback.name, b"kA");
        assert_eq!(callback.application, b"live");
        assert_eq!(callback.call, b"publish");
    }

    #[test]
    fn what_has_no_connection_is_not_nginxs() {
        assert_eq!(Callback::parse(b""), None);
        assert_eq!(Callback::parse(b"name=x&clientid=many"), None);
        assert_eq!(Callback::parse(b"xclientid=1"), None);
    }

    proptest! {
        #[test]
        fn no_form_is_a_danger(form: Vec<u8>) {
            Callback::parse(&form);
        }
    }
}
