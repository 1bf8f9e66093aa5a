//! A network that can be broken on purpose: between broadcasters and nginx, and between the API and its database.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Whoever has sent more than this up is a publisher who was let in: greetings and commands are shorter.
const GREETING: usize = 6 * 1024;
/// A publisher sends thirty pictures a second; after this long without one it has stopped.
const STOPPED: Duration = Duration::from_secs(1);

/// What lies behind.
#[derive(Clone)]
pub(super) enum Behind {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// It arrives.
    Fair,
    /// It arrives late, each piece by so much.
    Slow(Duration),
    /// It waits, both ways, and so does whoever comes new; nobody is told.
    Held,
    /// Half of the next piece arrives, then the connection is cut.
    Halved,
    /// Nobody gets through.
    Closed,
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Rises with every cut.
    cuts: watch::Sender<u32>,
    /// Rises whenever connections are lost without a word.
    losses: watch::Sender<u32>,
    sent: Arc<Mutex<Sent>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let weather = watch::Sender::new(Weather::Fair);
        let (cuts, losses) = (watch::Sender::new(0), watch::Sender::new(0));
        let sent = Arc::default();
        let line = Line {
            behind,
            weather: weather.subscribe(),
            cuts: cuts.subscribe(),
            losses: losses.subscribe(),
            sent: Arc::clone(&sent),
        };
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(line.clone().carry(client));
            }
        });
        Self { address, weather, cuts, losses, sent, listening }
    }

    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Ends every connection.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Loses every connection there is without a word to anybody; new ones fare well.
    pub(super) fn forget(&self) {
        self.losses.send_modify(|losses| *losses += 1);
    }

    /// Whether a publisher's pictures arrive, and have since this was asked last.
    pub(super) fn carries(&self) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::take(&mut sent.ended) && sent.last.is_some_and(|last| last.elapsed() < STOPPED)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

/// What one connection needs to know.
#[derive(Clone)]
struct Line {
    behind: Behind,
    weather: watch::Receiver<Weather>,
    cuts: watch::Receiver<u32>,
    losses: watch::Receiver<u32>,
    sent: Arc<Mutex<Sent>>,
}

/// Of publishers, who send more than a greeting.
#[derive(Default)]
struct Sent {
    last: Option<Instant>,
    /// Somebody's connection has ended since anybody asked.
    ended: bool,
}

impl Line {
    async fn carry(mut self, client: TcpStream) {
        let (mut cuts, publishes) = (self.cuts.clone(), AtomicBool::new(false));
        cuts.mark_unchanged();
        self.losses.mark_unchanged();
        tokio::select! {
            _ = cuts.changed() => {}
            _ = self.connect(client, &publishes) => {}
        }
        if publishes.into_inner() {
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        }
    }

    async fn connect(&mut self, client: TcpStream, publishes: &AtomicBool) -> io::Result<()> {
        client.set_nodelay(true)?;
        if *self.weather.borrow() == Weather::Closed {
            return Ok(());
        }
        let _ = self.weather.wait_for(|weather| *weather != Weather::Held).await;
        match self.behind.clone() {
            Behind::Tcp(address) => self.join(client, TcpStream::connect(address).await?, publishes).await,
            Behind::Socket(path) => self.join(client, UnixStream::connect(path).await?, publishes).await,
        }
    }

    async fn join(
        &self,
        client: TcpStream,
        server: impl AsyncRead + AsyncWrite,
        publishes: &AtomicBool,
    ) -> io::Result<()> {
        let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
        // Whichever side ends first ends both.
        tokio::select! {
            up = self.pump(from_client, to_server, Some(publishes)) => up,
            down = self.pump(from_server, to_client, None) => down,
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        publishes: Option<&AtomicBool>,
    ) -> io::Result<()> {
        let (mut weather, losses, mut total) = (self.weather.clone(), self.losses.clone(), 0);
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).await?;
            let _ = weather.wait_for(|weather| *weather != Weather::Held).await;
            if losses.has_changed().unwrap_or(false) {
                std::future::pending::<()>().await;
            }
            let now = *weather.borrow();
            match now {
                Weather::Slow(by) => tokio::time::sleep(by).await,
                Weather::Halved => return to.write_all(&piece[..length / 2]).await,
                Weather::Closed => return Ok(()),
                Weather::Fair | Weather::Held => {}
            }
            if length == 0 {
                return Ok(());
            }
            to.write_all(&piece[..length]).await?;
            total += length;
            if let Some(publishes) = publishes.filter(|_| total > GREETING) {
                publishes.store(true, Ordering::Relaxed);
                self.sent.lock().unwrap_or_else(PoisonError::into_inner).last = Some(Instant::now());
            }
        }
    }
}
