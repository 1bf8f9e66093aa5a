//! A broadcast that is passed on to another server, which is an nginx of the test's own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::support::{
    Actor, Broadcast, Channel, Process, Site, Subscription, Surroundings, descendants, processes, seconds,
    send, until,
};

/// What the other server wants to hear: longer than a chunk of RTMP, as some services have them.
const KEY: &str = "live_0123456789_abcdefghijklmnopqrstuvwxyz?service=some&signature=ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";

/// A server of somebody else's, which takes a broadcast only under its key.
struct Elsewhere {
    port: u16,
    dir: TempDir,
    nginx: Option<Child>,
}

impl Elsewhere {
    fn start() -> Self {
        let free =
            || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let (port, http) = (free(), free());
        let dir = tempfile::Builder::new().prefix("elsewhere-").tempdir().expect("a directory");
        let (name, arguments) = KEY.split_once('?').expect("arguments");
        let signature = arguments.rsplit('=').next().expect("a signature");
        let at = dir.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .concat();
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
            daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;
            events {{}}
            rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; application app {{
                live on; notify_method get; on_publish http://127.0.0.1:{http}/publish;
            }} }} }}
            http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{http}; location /publish {{
                if ($arg_name != \"{name}\") {{ return 403; }}
                if ($arg_signature != \"{signature}\") {{ return 403; }}
                return 204;
            }} }} }}"
        );
        fs::write(dir.path().join("nginx.conf"), text).expect("written");
        let mut elsewhere = Self { port, dir, nginx: None };
        elsewhere.come_back();
        elsewhere
    }

    fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/app", self.port)
    }

    fn come_back(&mut self) {
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx
            .arg("-c")
            .arg(self.dir.path().join("nginx.conf"))
            .arg("-e")
            .arg(self.dir.path().join("error.log"));
        let nginx = nginx.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        self.nginx = Some(nginx.expect("nginx starts"));
    }

    /// All of it, at once.
    fn go_away(&mut self) {
        let Some(mut nginx) = self.nginx.take() else { return };
        let pid = nginx.id().and_then(|pid| i32::try_from(pid).ok()).expect("a process");
        for process in descendants(pid) {
            send(process.pid, Signal::KILL);
        }
        nginx.start_kill().expect("killed");
    }

    /// What arrives there: the width of the picture, and the sound's codec.
    async fn arrives(&self) -> Option<(i64, String)> {
        let name = KEY.split('?').next().expect("a name");
        let mut probe = Command::new("ffprobe");
        probe.args(["-loglevel", "error", "-of", "json", "-show_entries", "stream=codec_name,width"]);
        probe.arg(format!("rtmp://127.0.0.1:{}/app/{name}", self.port)).kill_on_drop(true);
        let output = tokio::time::timeout(seconds(15), probe.output()).await.ok()?.ok()?;
        let found: Value = serde_json::from_slice(&output.stdout).ok()?;
        let streams = found["streams"].as_array()?;
        let width = streams.iter().find_map(|stream| stream["width"].as_i64())?;
        let sound = streams.iter().find(|stream| stream["width"].is_null())?;
        Some((width, sound["codec_name"].as_str()?.to_owned()))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.go_away();
    }
}

const FIELDS: &str = "id url enabled state failure";

async fn add(owner: &Actor, channel: &Channel, url: &str, key: &str) -> Value {
    let add = format!(
        "mutation ($input: AddSimulcastTargetInput!) {{ addSimulcastTarget(input: $input) {{ target {{ {FIELDS} }} }} }}"
    );
    let input = json!({"channelId": channel.id, "url": url, "key": key});
    owner.data(&add, json!({"input": input})).await["addSimulcastTarget"]["target"].take()
}

async fn update(owner: &Actor, target: &Value, change: Value) {
    let update = "mutation ($input: UpdateSimulcastTargetInput!) { updateSimulcastTarget(input: $input) { target { id } } }";
    let mut input = json!({"id": target["id"]});
    input.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    owner.data(update, json!({"input": input})).await;
}

/// What is told of the target until it is in that state.
async fn told(changes: &mut Subscription, state: &str, within: Duration) -> Value {
    until(&format!("it is {state}"), within, async || {
        let target = changes.next(within).await;
        (target["state"] == state).then_some(target)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_passed_on_and_nothing_of_the_other_server_disturbs_it() {
    let _turn = crate::turn().await;
    let site = Site::start(&["--simulcast-private"]).await;
    let mut elsewhere = Elsewhere::start();
    let owner = Actor::streamer(&site, "owner").await;
    let channel = owner.channel("Everywhere", false).await;
    let follow = format!("subscription ($loc: UUID!) {{ simulcastChanged(loc: $loc) {{ {FIELDS} }} }}");
    let mut changes = owner.subscribe(&follow, json!({"loc": channel.loc})).await;
    let mut events = owner.events(&channel.loc, None).await;

    let wrong = add(&owner, &channel, &elsewhere.url(), "a-wrong-key").await;
    assert_eq!((&wrong["state"], &wrong["url"]), (&json!("IDLE"), &json!(elsewhere.url())));
    let mut publisher = Broadcast::begin(&site, &channel.key);
    assert_eq!(events.next(seconds(10)).await["__typename"], "StreamStarted");
    let refused = told(&mut changes, "FAILED", seconds(20)).await;
    assert!(refused["failure"].as_str().is_some_and(|why| why.contains("key")), "{refused}");

    // While it is on the air; what was waited for is no longer.
    update(&owner, &wrong, json!({"key": KEY})).await;
    told(&mut changes, "LIVE", seconds(20)).await;
    assert_eq!(elsewhere.arrives().await, Some((320, "aac".to_owned())));
    let shown = |process: &Process| process.command.contains("abcdefghijklmnopqrstuvwxyz");
    assert!(!processes().iter().any(shown), "no process list shows the key");

    elsewhere.go_away();
    let broken = told(&mut changes, "FAILED", seconds(20)).await;
    assert!(broken["failure"].is_string(), "{broken}");
    elsewhere.come_back();
    told(&mut changes, "LIVE", seconds(30)).await;
    assert!(elsewhere.arrives().await.is_some());

    update(&owner, &wrong, json!({"enabled": false})).await;
    told(&mut changes, "IDLE", seconds(10)).await;
    update(&owner, &wrong, json!({"enabled": true})).await;
    told(&mut changes, "LIVE", seconds(20)).await;

    assert!(publisher.goes_on(), "the broadcaster notices nothing of all that");
    assert_eq!(owner.stream(&channel.loc).await["state"], "LIVE");
    publisher.end().await;
    told(&mut changes, "IDLE", seconds(20)).await;
    let nobody = "the other server is left alone";
    until(nobody, seconds(10), async || elsewhere.arrives().await.is_none().then_some(())).await;
    site.stop().await;
}

/// Lets people in to the server at `port` over TLS only, as `localhost`; where, and the certificate to know it by.
fn secure_door(port: u16, dir: &Path) -> (u16, PathBuf) {
    let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    assert!(openssl.output().expect("openssl runs").status.success());
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let chain = CertificateDer::from_pem_file(&certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![chain], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("it fits")));
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("an address");
    door.set_nonblocking(true).expect("it does not wait");
    let door = tokio::net::TcpListener::from_std(door).expect("a door");
    tokio::spawn(async move {
        while let Ok((stream, _)) = door.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever does not speak TLS, or does not trust it, is not let in.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(("127.0.0.1", port)).await.expect("the server is there");
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (address.port(), certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_passed_on_over_tls_to_whom_the_machine_trusts() {
    let _turn = crate::turn().await;
    let elsewhere = Elsewhere::start();
    // Whoever runs the site must be able to read the certificate.
    let dir = tempfile::Builder::new().prefix("elsewhere-").tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    let (port, certificate) = secure_door(elsewhere.port, dir.path());
    let (stranger, _) = secure_door(elsewhere.port, elsewhere.dir.path());
    let trusted = ("SSL_CERT_FILE", certificate.to_str().expect("a path").to_owned());
    let surroundings = Surroundings { variables: vec![trusted], ..Surroundings::default() };
    let site = Site::start_in(surroundings, &["--simulcast-private"]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let channel = owner.channel("Sealed", false).await;
    let follow = format!("subscription ($loc: UUID!) {{ simulcastChanged(loc: $loc) {{ {FIELDS} }} }}");
    let mut changes = owner.subscribe(&follow, json!({"loc": channel.loc})).await;
    let _publisher = Broadcast::begin(&site, &channel.key);
    let target = add(&owner, &channel, &format!("rtmps://localhost:{stranger}/app"), KEY).await;
    let failed = told(&mut changes, "FAILED", seconds(20)).await;
    assert!(failed["failure"].as_str().is_some_and(|why| why.contains("certificate")), "{failed}");

    update(&owner, &target, json!({"url": format!("rtmps://localhost:{port}/app")})).await;
    told(&mut changes, "LIVE", seconds(20)).await;
    assert_eq!(elsewhere.arrives().await, Some((320, "aac".to_owned())));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_on_into_this_machine_unless_the_operator_allows_it() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    door.set_nonblocking(true).expect("it does not wait");
    let port = door.local_addr().expect("an address").port();
    let owner = Actor::streamer(&site, "owner").await;
    let channel = owner.channel("Prying", false).await;
    let follow = format!("subscription ($loc: UUID!) {{ simulcastChanged(loc: $loc) {{ {FIELDS} }} }}");
    let mut changes = owner.subscribe(&follow, json!({"loc": channel.loc})).await;
    let _publisher = Broadcast::begin(&site, &channel.key);
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        let target = add(&owner, &channel, &format!("rtmp://{host}:{port}/app"), "key").await;
        let failed = told(&mut changes, "FAILED", seconds(20)).await;
        assert!(failed["failure"].as_str().is_some_and(|why| why.contains("private network")), "{failed}");
        let remove = "mutation ($input: RemoveSimulcastTargetInput!) {
            removeSimulcastTarget(input: $input) { removedTargetId } }";
        owner.data(remove, json!({"input": {"id": target["id"]}})).await;
    }
    let refused = door.accept().expect_err("nobody has come").kind();
    assert_eq!(refused, std::io::ErrorKind::WouldBlock);
    site.stop().await;
}
