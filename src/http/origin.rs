//! Who speaks in a request: its token, from whichever header carries it, and whether a cookie may be believed.
//!
//! A browser attaches cookies to requests that other sites make, so a cookie only counts when the browser says
//! that the request comes from this site. A bearer token is attached by nobody but its holder.

use std::net::{IpAddr, SocketAddr};

use async_graphql::ServerError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri, header};

use super::Answers;
use super::operation::{code, error};
use crate::config::Origin;

/// The cookie that sign-in sets.
const COOKIE: &str = "tally_session";

/// The address of a request's other end: what our own proxy says when it is the peer, else the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

/// The address that a connection came from; `connections` puts it into each request.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        Ok(Self(client_address(peer, &parts.headers)))
    }
}

/// Only a proxy on this machine is believed, and only the last address: those before it are the client's words.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    if !peer.is_loopback() {
        return Some(peer);
    }
    let forwarded =
        headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let last = forwarded.and_then(|list| list.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
    Some(last.map_or(peer, |address: IpAddr| address.to_canonical()))
}

/// What a request shows of who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Bearer(String),
    Cookie(String),
}

impl Shown {
    /// Who that is. A cookie whose session is over says nothing: the browser goes on sending it, and no script of
    /// the page could take it away to sign in again.
    pub(super) async fn requester<G: Answers>(&self, graph: &G) -> Result<G::Requester, ServerError> {
        match self {
            Self::Nothing => graph.requester(None).await,
            Self::Bearer(token) => graph.requester(Some(token)).await,
            Self::Cookie(token) => match graph.requester(Some(token)).await {
                Err(over) if code(&over) == Some("UNAUTHENTICATED") => graph.requester(None).await,
                found => found,
            },
        }
    }
}

/// What a request shows of who speaks.
///
/// # Errors
/// FORBIDDEN when it is a cookie's and the request does not come from this site; UNAUTHENTICATED when the
/// header is not a bearer token.
pub(super) fn shown(headers: &HeaderMap, public_url: &str) -> Result<Shown, ServerError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return match value.to_str().ok().and_then(bearer) {
            Some(token) => Ok(Shown::Bearer(token.to_owned())),
            None => Err(error("UNAUTHENTICATED", "`Authorization` must be `Bearer TOKEN`.")),
        };
    }
    match cookie(headers) {
        None => Ok(Shown::Nothing),
        Some(token) if is_same_site(headers, public_url) => Ok(Shown::Cookie(token.to_owned())),
        Some(_) => Err(error("FORBIDDEN", "A request with a session cookie must come from this site.")),
    }
}

/// The token in `Bearer TOKEN`, the scheme in any case.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value)
}

/// Whether a browser says that the request comes from a page of this site, or from its own address bar.
pub(super) fn is_same_site(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match text(HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin" | "none") => return true,
        Some("cross-site") => return false,
        _ => {}
    }
    let Some(origin) = text(header::ORIGIN).and_then(authority) else { return false };
    let host = text(header::HOST);
    host.is_some_and(|host| host.eq_ignore_ascii_case(&origin))
        || authority(public_url).is_some_and(|it| it == origin)
}

/// Whether a browser says that the request comes from a page of another site, and of none of those that may use the API.
/// CORS does not ask before a WebSocket, so whoever opens one must.
pub(super) fn is_foreign(headers: &HeaderMap, public_url: &str, allowed: &[Origin]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let is_allowed = allowed.iter().any(|it| origin.as_bytes().eq_ignore_ascii_case(it.as_str().as_bytes()));
    !is_allowed && !is_same_site(headers, public_url)
}

fn authority(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    uri.scheme()?;
    Some(uri.authority()?.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::http::operation::code;

    const URL: &str = "https://tally.example";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_bearer_token_needs_no_origin_and_comes_before_a_cookie() {
        let both = headers(&[("authorization", "bearer  T"), ("cookie", "tally_session=C")]);
        assert_eq!(shown(&both, URL).ok(), Some(Shown::Bearer("T".to_owned())));
        let basic = shown(&headers(&[("authorization", "Basic T")]), URL);
        assert_eq!(code(&basic.unwrap_err()), Some("UNAUTHENTICATED"));
        assert_eq!(shown(&headers(&[]), URL).ok(), Some(Shown::Nothing));
    }

    #[test]
    fn a_cookie_counts_only_when_the_request_comes_from_this_site() {
        let with = |more: &[(&'static str, &'static str)]| {
            let mut all = vec![("cookie", "a=b; tally_session=C"), ("host", "127.0.0.1:8080")];
            all.extend_from_slice(more);
            shown(&headers(&all), URL).map_err(|error| code(&error).map(str::to_owned))
        };
        for same in [
            ("origin", "https://tally.example"),
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert_eq!(with(&[same]), Ok(Shown::Cookie("C".to_owned())), "{same:?}");
        }
        for other in [
            &[][..],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://tally.example.evil.example")],
            &[("origin", "http://127.0.0.1:9999")],
            &[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(with(other), Err(Some("FORBIDDEN".to_owned())), "{other:?}");
        }
    }

    #[test]
    fn only_pages_of_this_site_and_of_those_named_are_at_home_and_whoever_is_no_page() {
        let named = ["https://app.example".parse().unwrap()];
        for (origin, is_strange) in [
            (None, false),
            (Some("https://tally.example"), false),
            (Some("http://127.0.0.1:8080"), false),
            (Some("https://app.example"), false),
            (Some("https://app.example:8443"), true),
            (Some("https://evil.example"), true),
            (Some("null"), true),
        ] {
            let mut shown = headers(&[("host", "127.0.0.1:8080")]);
            if let Some(origin) = origin {
                shown.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_foreign(&shown, URL, &named), is_strange, "{origin:?}");
        }
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let forwarded = headers(&[("x-forwarded-for", "1.1.1.1, 203.0.113.7")]);
        let address =
            |peer: &str| client_address(Some(peer.parse().unwrap()), &forwarded).map(|it| it.to_string());
        assert_eq!(address("127.0.0.1").as_deref(), Some("203.0.113.7"));
        assert_eq!(address("::ffff:127.0.0.1").as_deref(), Some("203.0.113.7"));
        assert_eq!(address("198.51.100.2").as_deref(), Some("198.51.100.2"));
        assert_eq!(client_address(None, &forwarded), None);
    }
}
