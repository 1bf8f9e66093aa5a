//! The settings: each one a flag and a `TALLY_…` variable (the flag wins), checked once, before anything starts.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::telemetry::LogFormat;

/// Everything that `up` and `serve` can be told.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where everything that is written lives: database, HLS, thumbnails, secrets, logs.
    #[arg(long, env = "TALLY_DATA_DIR", default_value = ".tally", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// The database; without it `up` keeps a private PostgreSQL in the data directory.
    #[arg(long, env = "TALLY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,

    /// nginx's public door: site, API, HLS, thumbnails.
    #[arg(long, env = "TALLY_HTTP", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub http: SocketAddr,

    /// Where OBS connects; the application is `live`.
    #[arg(long, env = "TALLY_RTMP", default_value = "127.0.0.1:1935", value_name = "ADDRESS")]
    pub rtmp: SocketAddr,

    /// The API's public listener.
    #[arg(long, env = "TALLY_LISTEN", default_value = "127.0.0.1:4000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// The API's internal listener: nginx's callbacks, media authorisation, metrics (TCP), and nginx's reports
    /// of playlist requests (UDP). Never let it be reached from outside.
    #[arg(long, env = "TALLY_INTERNAL", default_value = "127.0.0.1:4001", value_name = "ADDRESS")]
    pub internal: SocketAddr,

    /// Base of absolute URLs; `http://` and the address of `--http` when not given.
    #[arg(long, env = "TALLY_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// What broadcasters are told to send to; `rtmp://`, the address of `--rtmp` and `/live` when not given.
    #[arg(long, env = "TALLY_PUBLIC_RTMP_URL", value_name = "URL")]
    pub public_rtmp_url: Option<String>,

    /// How long a stream waits for its publisher to come back, from 0s to 30m.
    #[arg(long, env = "TALLY_RECONNECT_WINDOW", default_value = "10s", value_name = "TIME", value_parser = reconnect_window)]
    pub reconnect_window: Duration,

    /// How long after its last request a viewer session counts, from 3s to 10m.
    #[arg(long, env = "TALLY_VIEWER_TTL", default_value = "12s", value_name = "TIME", value_parser = viewer_ttl)]
    pub viewer_ttl: Duration,

    /// The bus between several API nodes. This version runs as one and refuses any, for two that do not know of each other
    /// would each call its own viewers all of them.
    #[arg(long, env = "TALLY_NATS_URL", hide_env_values = true, value_name = "URL", value_parser = no_bus)]
    pub nats_url: Option<Infallible>,

    /// How far viewers can go back in what is on the air, from 0s (not at all) to 12h. It takes that much of each stream on
    /// the disk.
    #[arg(long, env = "TALLY_DVR_WINDOW", default_value = "5m", value_name = "TIME", value_parser = dvr_window)]
    pub dvr_window: Duration,

    /// Smaller sizes to make of everything on the air, for lines that are too slow for it: for instance
    /// `720p:2500k,480p:1200k,360p:700k`. Only those below the source's own are made. None when not given: it takes a good
    /// part of a processor for each stream.
    #[arg(long, env = "TALLY_RENDITIONS", value_name = "HEIGHTp:RATEk", value_delimiter = ',')]
    pub renditions: Vec<Rung>,

    /// HLS, thumbnails and recordings; `media` in the data directory when not given.
    #[arg(long, env = "TALLY_MEDIA_ROOT", value_name = "DIR")]
    pub media_root: Option<PathBuf>,

    /// How long recordings are kept after the end of their broadcast, for instance 90d; for ever when not given.
    #[arg(long, env = "TALLY_KEEP_RECORDINGS", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub keep_recordings: Option<Duration>,

    /// What all recordings may take, for instance 500GB; the oldest go first. No bound when not given.
    #[arg(long, env = "TALLY_RECORDINGS_SIZE", value_name = "SIZE", value_parser = bytes)]
    pub recordings_size: Option<u64>,

    /// What the recordings of one channel may take, as `--recordings-size`.
    #[arg(long, env = "TALLY_CHANNEL_RECORDINGS_SIZE", value_name = "SIZE", value_parser = bytes)]
    pub channel_recordings_size: Option<u64>,

    /// A bucket that recordings are moved into once they can be played, for instance `s3://site/recordings`, of S3 or whatever
    /// speaks as it does. Where that is and the keys to it are taken from AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY. Recordings stay on the disk when not given.
    #[arg(long, env = "TALLY_RECORDINGS_BUCKET", value_name = "URL")]
    pub recordings_bucket: Option<BucketUrl>,

    /// Whether broadcasts may be passed on to this machine and to private networks. Whoever has a channel says where they go,
    /// so leave it off where not everybody with a channel may reach everything that this machine can reach.
    #[arg(long, env = "TALLY_SIMULCAST_PRIVATE")]
    pub simulcast_private: bool,

    /// Where the API finds nginx's `/stat` and `/control`; `up` knows its own.
    #[arg(long, env = "TALLY_NGINX_CONTROL", default_value = "http://127.0.0.1:4002", value_name = "URL")]
    pub nginx_control: String,

    /// Who may make an account: everybody, or only the operator with `tally user create`.
    #[arg(long, env = "TALLY_SIGN_UP", default_value = "open", value_name = "WHO")]
    pub sign_up: SignUp,

    /// Which pages of other origins may use the API from a browser, with bearer tokens: for instance
    /// `https://app.example`. Repeat it, or separate several by commas.
    #[arg(long, env = "TALLY_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<Origin>,

    /// How many WebSockets one address may have open, from 1 to 50000. A customer's share of IPv6, a /56, counts as one
    /// address.
    #[arg(long, env = "TALLY_SOCKETS_PER_ADDRESS", default_value = "12500", value_name = "NUMBER", value_parser = sockets)]
    pub sockets_per_address: usize,

    /// What is logged, in the form of RUST_LOG.
    #[arg(long, env = "TALLY_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How log lines look.
    #[arg(long, env = "TALLY_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl Settings {
    /// Base of absolute URLs, without a slash at its end.
    pub fn public_url(&self) -> String {
        let url = self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.http));
        url.trim_end_matches('/').to_owned()
    }

    /// What goes into OBS's "Server".
    pub fn public_rtmp_url(&self) -> String {
        self.public_rtmp_url.clone().unwrap_or_else(|| format!("rtmp://{}/live", self.rtmp))
    }

    /// The directory of HLS, thumbnails and recordings.
    pub fn media_root(&self) -> PathBuf {
        self.media_root.clone().unwrap_or_else(|| self.data_dir.join("media"))
    }
}

/// Who may make an account through the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignUp {
    /// Everybody.
    Open,
    /// Nobody: the operator makes accounts.
    Closed,
}

/// The origin of web pages as browsers say it: scheme, host, and the port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As browsers say it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let told = "write it like https://app.example or http://localhost:5173, without a path";
        let text = text.trim().to_ascii_lowercase();
        let (scheme, host) = text.split_once("://").ok_or(told)?;
        let own_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(told),
        };
        let host = host.strip_suffix(own_port).unwrap_or(host);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(fits) {
            return Err(told);
        }
        Ok(Self(format!("{scheme}://{host}")))
    }
}

/// A size to be made, like `720p:2500k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The height of the picture.
    pub height: u32,
    /// Its bit rate, in kilobits a second.
    pub kbps: u32,
}

impl FromStr for Rung {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let told = "write it like 720p:2500k, with an even height from 144 to 2160 and 100k to 20000k";
        let (height, kbps) = text.trim().split_once(':').ok_or(told)?;
        let height: u32 = height.strip_suffix('p').and_then(|text| text.parse().ok()).ok_or(told)?;
        let kbps: u32 = kbps.strip_suffix('k').and_then(|text| text.parse().ok()).ok_or(told)?;
        let fits =
            (144..=2160).contains(&height) && height.is_multiple_of(2) && (100..=20_000).contains(&kbps);
        if fits { Ok(Self { height, kbps }) } else { Err(told) }
    }
}

/// A bucket of an object store, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    name: String,
    prefix: String,
}

impl BucketUrl {
    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What all keys begin with; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for BucketUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let told = "write it like s3://bucket or s3://bucket/recordings";
        let place = text.trim().strip_prefix("s3://").ok_or(told)?;
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        // As S3 names buckets; prefixes as URLs need no escapes.
        let fits = |text: &str, more: &[u8]| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte) || more.contains(&byte))
        };
        let prefix = prefix.trim_end_matches('/');
        let is_named = (3..=63).contains(&name.len()) && fits(name, b"");
        let is_placed = prefix.is_empty()
            || (fits(prefix, b"/")
                && prefix.split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
        if is_named && is_placed {
            Ok(Self { name: name.to_owned(), prefix: prefix.to_owned() })
        } else {
            Err(told)
        }
    }
}

/// Where PostgreSQL is; it may hold a password, so it is never shown.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL of a database reached through the socket in `directory`.
    pub fn of_socket(directory: &Path, user: &str, database: &str) -> Self {
        let host = percent_encoding::utf8_percent_encode(
            directory.to_str().unwrap_or_default(),
            percent_encoding::NON_ALPHANUMERIC,
        );
        Self(format!("postgres://{user}@{host}/{database}"))
    }

    /// The URL itself, for connecting.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(Self(url.to_owned()))
        } else {
            Err("it must begin with postgres://")
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl")
    }
}

fn reconnect_window(text: &str) -> Result<Duration, String> {
    between(text, Duration::ZERO, Duration::from_secs(30 * 60))
}

fn dvr_window(text: &str) -> Result<Duration, String> {
    between(text, Duration::ZERO, Duration::from_secs(12 * 60 * 60))
}

fn no_bus(_: &str) -> Result<Infallible, &'static str> {
    Err("this version runs as one API node; leave it out, and run one `serve` for each database")
}

fn viewer_ttl(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(3), Duration::from_secs(10 * 60))
}

/// A size as people write it: `500GB`, `1.5 TiB`, `1000000`.
fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let power = |base: u64, exponent: u32| Some(base.pow(exponent) as f64);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "kb" => power(1000, 1),
        "mb" => power(1000, 2),
        "gb" => power(1000, 3),
        "tb" => power(1000, 4),
        "kib" => power(1024, 1),
        "mib" => power(1024, 2),
        "gib" => power(1024, 3),
        "tib" => power(1024, 4),
        _ => None,
    };
    let size = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    let size = size.filter(|size| size.is_finite() && *size >= 0.0 && *size < 9e15);
    size.map(|size| size as u64).ok_or_else(|| "write it like 500GB or 1.5TiB".to_owned())
}

fn sockets(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=50_000).contains(number));
    number.ok_or_else(|| "it must be a number from 1 to 50000".to_owned())
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|_| "write it like 10s, 500ms or 5m".to_owned())?;
    if (least..=most).contains(&parsed) {
        Ok(parsed)
    } else {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        Err(format!("it must be from {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_out_of_range_says_the_range() {
        assert_eq!(reconnect_window("0s"), Ok(Duration::ZERO));
        assert_eq!(reconnect_window("31m"), Err("it must be from 0s to 30m".to_owned()));
        assert_eq!(viewer_ttl("12"), Err("write it like 10s, 500ms or 5m".to_owned()));
    }

    #[test]
    fn a_rung_is_written_as_people_say_it() {
        assert_eq!("720p:2500k".parse(), Ok(Rung { height: 720, kbps: 2500 }));
        for wrong in
            ["", "720", "720p", "720:2500", "p:k", "721p:2500k", "100p:2500k", "720p:99k", "720p:2500"]
        {
            assert!(wrong.parse::<Rung>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bucket_is_written_as_its_own_tools_write_it() {
        let read = |text: &str| text.parse::<BucketUrl>().map(|it| (it.name, it.prefix)).ok();
        let is = |name: &str, prefix: &str| Some((name.to_owned(), prefix.to_owned()));
        assert_eq!(read("s3://site"), is("site", ""));
        assert_eq!(read(" s3://site.example/a/b-c/ "), is("site.example", "a/b-c"));
        for wrong in [
            "",
            "site",
            "s3:/site",
            "s3://",
            "s3://ab",
            "s3://a b/c",
            "s3://site//a",
            "s3://site/../a",
            "gs://site",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_size_is_written_as_people_do() {
        for (text, size) in
            [("0", 0), ("500GB", 500_000_000_000), (" 1.5 TiB ", 1_649_267_441_664), ("10kib", 10_240)]
        {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for wrong in ["", "GB", "-1", "1..2", "1PB", "1e9", "99999999TB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_says() {
        let read = |text: &str| text.parse::<Origin>().ok().map(|it| it.0);
        for (text, origin) in [
            ("https://App.Example", "https://app.example"),
            (" http://localhost:5173", "http://localhost:5173"),
            ("https://app.example:443", "https://app.example"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(read(text).as_deref(), Some(origin));
        }
        for wrong in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://a/",
            "https://*.a",
            "ftp://a",
            "https://a@b",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn origins_are_given_one_by_one_or_together() {
        use clap::Parser;
        let line = [
            "tally",
            "--cors-origin=https://a.example,http://b.example",
            "--cors-origin",
            "http://c.example",
        ];
        let origins = Line::parse_from(line).settings.cors_origin;
        let origins: Vec<&str> = origins.iter().map(Origin::as_str).collect();
        assert_eq!(origins, ["https://a.example", "http://b.example", "http://c.example"]);
        for wrong in ["--cors-origin=*", "--sockets-per-address=0", "--sockets-per-address=50001"] {
            assert!(Line::try_parse_from(["tally", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_database_url_is_never_shown() {
        let url: DatabaseUrl = "postgres://tally:secret@localhost/tally".parse().expect("a URL");
        assert_eq!(format!("{url:?}"), "DatabaseUrl");
    }
}
