//! nginx's configuration: the file that the project ships, with this installation's values in place of the
//! defaults that are written in it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::ports::{Inside, reachable};
use crate::config::Settings;
use crate::lifecycle::Failure;

const SHIPPED: &str = include_str!("../../../nginx/tally.conf");

/// Fills the shipped configuration in. `data_dir` and `media` must be absolute.
pub(super) fn render(
    settings: &Settings,
    data_dir: &Path,
    media: &Path,
    inside: &Inside,
) -> Result<String, Failure> {
    let (data, media) = (quotable(data_dir)?, quotable(media)?);
    let at = |address: SocketAddr| address.to_string();
    let values = [
        // Everything runs under one account already, and only root could choose another.
        ("user tally;\n", String::new()),
        ("/run/nginx.pid", format!("\"{data}/nginx/nginx.pid\"")),
        ("/var/lib/tally/media", media.to_owned()),
        ("/var/lib/tally", data.to_owned()),
        ("127.0.0.1:8080", at(settings.http)),
        ("127.0.0.1:1935", at(settings.rtmp)),
        ("127.0.0.1:1936", at(inside.relay)),
        ("127.0.0.1:1937", at(inside.rtmp)),
        ("127.0.0.1:4000", at(reachable(settings.listen))),
        ("127.0.0.1:4001", at(reachable(settings.internal))),
        ("127.0.0.1:4002", at(inside.http)),
        ("proxy_cache_valid 204 4s;", format!("proxy_cache_valid 204 {}s;", cached(settings.viewer_ttl))),
    ];
    Ok(replace(SHIPPED, &values))
}

/// How long an authorisation may be cached: a third of the time that a viewer counts without asking again, and so short
/// that whoever may watch no longer is out within 10 seconds.
fn cached(viewer_ttl: Duration) -> u64 {
    (viewer_ttl / 3).as_secs().clamp(1, 5)
}

/// nginx takes any path in quotation marks but for what is special inside them.
fn quotable(path: &Path) -> Result<&str, Failure> {
    let special = |c: char| c.is_control() || matches!(c, '"' | '\\' | '$');
    match path.to_str() {
        Some(text) if !text.contains(special) => Ok(text),
        _ => Err(format!("{}: nginx cannot use a directory with such a name", path.display()).into()),
    }
}

/// Replaces in one pass, so that no value is taken for a default; of two that fit, the earlier in the list.
fn replace(text: &str, values: &[(&str, String)]) -> String {
    let mut rendered = String::with_capacity(text.len() + 1024);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some((default, value)) = values.iter().find(|(default, _)| rest.starts_with(default)) {
            rendered.push_str(value);
            rest = &rest[default.len()..];
        } else {
            rendered.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn rendered(flags: &[&str]) -> String {
        let settings = Line::parse_from(std::iter::once(&"tally").chain(flags)).settings;
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let inside = Inside { http: at(20001), rtmp: at(20002), relay: at(20003) };
        render(&settings, Path::new("/srv/data"), Path::new("/srv/pictures"), &inside).unwrap()
    }

    #[test]
    fn no_default_of_the_shipped_file_is_left() {
        let text = rendered(&[
            "--http=127.0.0.1:4000",
            "--rtmp=0.0.0.0:9001",
            "--listen=0.0.0.0:9002",
            "--internal=[::]:9003",
            "--viewer-ttl=30s",
        ]);
        for (value, times) in [
            ("listen 127.0.0.1:4000;", 1),
            ("listen 0.0.0.0:9001;", 1),
            ("server 127.0.0.1:9002 ", 1),
            ("server [::1]:9003 ", 1),
            ("syslog:server=[::1]:9003,", 2),
            ("listen 127.0.0.1:20001;", 1),
            ("http://127.0.0.1:20001/rtmp/", 5),
            ("proxy_pass 127.0.0.1:20002;", 1),
            ("listen 127.0.0.1:20002 proxy_protocol;", 1),
            ("push rtmp://127.0.0.1:20003/out;", 1),
            ("listen 127.0.0.1:20003;", 1),
            ("hls_path \"/srv/pictures/hls\";", 1),
            ("alias \"/srv/pictures/hls/", 2),
            ("root \"/srv/pictures\";", 2),
            ("alias \"/srv/pictures/$tally_kept/", 2),
            ("alias \"/srv/pictures/covers/", 1),
            ("include \"/srv/data/secrets/nginx.conf\";", 1),
            ("pid \"/srv/data/nginx/nginx.pid\";", 1),
            ("proxy_cache_valid 204 5s;", 2),
        ] {
            assert_eq!(text.matches(value).count(), times, "{value}");
        }
        for default in [
            "/var/lib/tally",
            "/run/",
            "user tally",
            ":8080",
            ":1935",
            ":1936",
            ":1937",
            ":4001",
            ":4002",
            " 4s;",
        ] {
            let left = text.matches(default).count();
            let expected = usize::from(default == " 4s;") * SHIPPED.matches("_timeout 4s;").count();
            assert_eq!(left, expected, "{default} is left");
        }
    }

    #[test]
    fn a_name_that_nginx_would_read_as_something_else_is_refused() {
        for name in ["/srv/a\"b", "/srv/$host", "/srv/a\\b", "/srv/a\nb"] {
            assert!(quotable(Path::new(name)).is_err(), "{name:?}");
        }
        assert!(quotable(Path::new("/srv/my tally; {new}")).is_ok());
    }

    #[test]
    fn an_authorisation_is_cached_for_at_least_a_second() {
        assert_eq!(cached(Duration::from_secs(12)), 4);
        assert_eq!(cached(Duration::from_millis(2900)), 1);
    }
}
