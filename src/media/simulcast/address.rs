//! The address of another server: what may be written, and where it may lead. A target is given by whoever has a channel, and
//! it is us who connect to it: it must lead out into the world, not back to this machine or into the network that it stands in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::Reason;

/// How long a name, a connection or a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 500;

/// An address like `rtmps://live.example.net:443/app`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    is_secure: bool,
    /// As it is written: an IPv6 address with its brackets.
    host: String,
    port: u16,
    application: String,
}

/// Not an address that can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it like rtmp://live.example.net/app or rtmps://live.example.net:443/app, without the key")]
pub struct NoAddress;

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(NoAddress)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(NoAddress),
        };
        let (authority, application) = rest.split_once('/').ok_or(NoAddress)?;
        let application = application.trim_end_matches('/');
        let port_begins = authority.rfind(':').filter(|place| !authority[*place..].contains(']'));
        let (host, port) = match port_begins {
            Some(place) => (&authority[..place], authority[place + 1..].parse().map_err(|_| NoAddress)?),
            None => (authority, default_port(is_secure)),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match is_six {
            Some(six) => six.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(fits),
        };
        let in_path = |byte: u8| fits(byte) || b"/~+=%".contains(&byte);
        let is_application = !application.is_empty() && application.bytes().all(in_path);
        if text.len() > LONGEST || port == 0 || !is_host || !is_application {
            return Err(NoAddress);
        }
        let (host, application) = (host.to_ascii_lowercase(), application.to_owned());
        Ok(Self { is_secure, host, port, application })
    }
}

impl fmt::Display for Address {
    /// As servers expect to be called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_secure, host, port, application } = self;
        let scheme = if *is_secure { "rtmps" } else { "rtmp" };
        match *port == default_port(*is_secure) {
            true => write!(f, "{scheme}://{host}/{application}"),
            false => write!(f, "{scheme}://{host}:{port}/{application}"),
        }
    }
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 1935 }
}

/// A connection to another server.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

impl Address {
    pub(super) fn application(&self) -> &str {
        &self.application
    }

    /// Connects; to this machine and to private networks only if `may_stay`. What is looked at is what is connected to: a
    /// name that leads elsewhere the next time it is asked for gains nothing.
    pub(super) async fn connect(&self, may_stay: bool) -> Result<Box<dyn Line>, Reason> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = timeout(PATIENCE, lookup_host((name, self.port))).await;
        let found: Vec<SocketAddr> = found.ok().and_then(Result::ok).ok_or(Reason::NoSuchServer)?.collect();
        if found.is_empty() {
            return Err(Reason::NoSuchServer);
        }
        let mut reason = Reason::NotAllowed;
        for address in found {
            if !may_stay && !leads_out(address).await {
                continue;
            }
            match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A burst a second: what waits to be joined with more only comes later.
                    let _ = stream.set_nodelay(true);
                    return self.secure(stream, name, &connector()).await;
                }
                _ => reason = Reason::Unreachable,
            }
        }
        Err(reason)
    }

    async fn secure(
        &self,
        stream: TcpStream,
        name: &str,
        connector: &TlsConnector,
    ) -> Result<Box<dyn Line>, Reason> {
        if !self.is_secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(name.to_owned()).map_err(|_| Reason::NoSuchServer)?;
        match timeout(PATIENCE, connector.connect(name, stream)).await {
            Ok(Ok(secure)) => Ok(Box::new(secure)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a server could not be trusted");
                Err(Reason::NotTrusted)
            }
            Err(_) => Err(Reason::Unreachable),
        }
    }
}

/// What trusts whom this machine trusts; read once, since it takes some milliseconds.
fn connector() -> TlsConnector {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "some certificates that this machine trusts cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        trusting(roots)
    };
    CONNECTOR.get_or_init(make).clone()
}

fn trusting(roots: RootCertStore) -> TlsConnector {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring knows TLS 1.2 and 1.3").with_root_certificates(roots);
    TlsConnector::from(Arc::new(config.with_no_client_auth()))
}

/// Whether an address is somebody else's, and reached over the internet.
async fn leads_out(address: SocketAddr) -> bool {
    is_public(address.ip()) && !is_ours(address).await
}

/// Whether an address is this machine's own, for instance the one that it is known by to the world: what this machine would
/// be called on the way there is the address itself. Nothing is sent.
async fn is_ours(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let Ok(socket) = UdpSocket::bind((any, 0)).await else { return false };
    let connected = socket.connect(address).await.and_then(|()| socket.local_addr());
    connected.is_ok_and(|own| own.ip() == address.ip())
}

/// Whether an address is in use on the internet at large, by the registries of RFC 6890.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, _] = four.octets();
            !(a == 0
                || four.is_private()
                || four.is_loopback()
                || four.is_link_local()
                || four.is_documentation()
                || (a == 100 && (64..128).contains(&b))
                || (a, b, c) == (192, 0, 0)
                || (a, b, c) == (192, 88, 99)
                || (a == 198 && (18..20).contains(&b))
                || a >= 224)
        }
        IpAddr::V6(six) => {
            let [a, b, ..] = six.segments();
            // Global unicast, without what holds an IPv4 address (6to4, Teredo) and what is for documentation and tests.
            (0x2000..0x4000).contains(&a)
                && a != 0x2002
                && !(a == 0x2001 && (b < 0x0200 || b == 0x0DB8))
                && !(a == 0x3FFF && b < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    /// A server that is called `localhost`, with the certificate by which it can be known.
    fn server() -> (TlsAcceptor, CertificateDer<'static>) {
        let dir = tempfile::tempdir().unwrap();
        let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("certificate.pem"));
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        assert!(openssl.output().unwrap().status.success());
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = config.with_single_cert(vec![certificate.clone()], key).unwrap();
        (TlsAcceptor::from(Arc::new(config)), certificate)
    }

    #[test]
    fn an_address_is_what_streaming_services_give_out() {
        for (text, said) in [
            ("rtmp://live.twitch.tv/app", "rtmp://live.twitch.tv/app"),
            ("rtmp://a.rtmp.YouTube.com/live2/", "rtmp://a.rtmp.youtube.com/live2"),
            ("rtmps://live-api-s.facebook.com:443/rtmp/", "rtmps://live-api-s.facebook.com/rtmp"),
            ("RTMP://127.0.0.1:1935/a/b", "rtmp://127.0.0.1/a/b"),
            ("rtmps://[2001:4860::1]:8443/x", "rtmps://[2001:4860::1]:8443/x"),
            ("rtmp://[2001:4860::1]/x", "rtmp://[2001:4860::1]/x"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), said);
        }
        for wrong in [
            "",
            "live.twitch.tv/app",
            "http://live.twitch.tv/app",
            "rtmp://live.twitch.tv",
            "rtmp://live.twitch.tv/",
            "rtmp:///app",
            "rtmp://user:password@host/app",
            "rtmp://host:0/app",
            "rtmp://host:70000/app",
            "rtmp://host/app?key=1",
            "rtmp://host/app name",
            "rtmp://host/app\r\nx",
            "rtmp://[::1/app",
            "rtmp://[nonsense]/app",
            "rtmp://h\u{f6}st/app",
        ] {
            assert_eq!(wrong.parse::<Address>(), Err(NoAddress), "{wrong}");
        }
        assert!(format!("rtmp://{}/app", "a".repeat(500)).parse::<Address>().is_err());
    }

    #[test]
    fn only_addresses_of_the_world_lead_out() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2001::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1", "2a00:1450:4001::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn this_machine_is_known_by_any_of_its_addresses() {
        assert!(is_ours("127.0.0.1:1935".parse().unwrap()).await);
        assert!(!is_ours("192.0.2.1:1935".parse().unwrap()).await);
    }

    #[tokio::test]
    async fn what_leads_back_is_refused_unless_it_is_allowed() {
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = door.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let address: Address = format!("rtmp://{host}:{port}/app").parse().unwrap();
            assert_eq!(address.connect(false).await.err(), Some(Reason::NotAllowed));
            assert!(address.connect(true).await.is_ok());
        }
        let secure: Address = format!("rtmps://127.0.0.1:{port}/app").parse().unwrap();
        let hang_up = async {
            while let Ok((stream, _)) = door.accept().await {
                drop(stream)
            }
        };
        tokio::select! {
            connected = secure.connect(true) => assert_eq!(connected.err(), Some(Reason::NotTrusted)),
            () = hang_up => unreachable!("it listens for ever"),
        }
        let nowhere: Address = format!("rtmp://nobody.invalid:{port}/app").parse().unwrap();
        assert_eq!(nowhere.connect(false).await.err(), Some(Reason::NoSuchServer));
    }

    #[tokio::test]
    async fn a_server_is_trusted_under_its_own_name_by_who_knows_its_certificate() {
        let (acceptor, certificate) = server();
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = door.local_addr().unwrap().port();
        let serve = async {
            loop {
                let (stream, _) = door.accept().await.unwrap();
                // Whoever does not trust it hangs up.
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let address: Address = format!("rtmps://localhost:{port}/app").parse().unwrap();
        let connect = async |name: &str, connector: TlsConnector| {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            address.secure(stream, name, &connector).await
        };
        let ask = async {
            let mut heard = String::new();
            let mut line = connect("localhost", trusting(roots.clone())).await.unwrap();
            line.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "hello");
            let by_another_name = connect("elsewhere.example", trusting(roots)).await;
            assert_eq!(by_another_name.err(), Some(Reason::NotTrusted));
            assert_eq!(connect("localhost", connector()).await.err(), Some(Reason::NotTrusted));
        };
        tokio::select! {
            () = ask => {}
            () = serve => unreachable!("it serves for ever"),
        }
    }
}
