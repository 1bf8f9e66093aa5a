//! Passing an RTMP connection on with another key in it.
//!
//! ffmpeg takes its target from its arguments, which every account on the machine can read. So it is given a stand-in for
//! the stream key, and sends through a socket of ours that puts the key in its place.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};

use crate::ambient::Chance;

/// The client's part of the handshake: its version, and twice 1536 bytes that may be anything (Adobe's RTMP 1.0, 5.2).
const HANDSHAKE: usize = 1 + 1536 + 1536;
/// A client names its stream in `releaseStream`, `FCPublish` and `publish`.
const NAMINGS: usize = 3;
/// By then it has, or never will.
const BEGINNING: usize = 64 * 1024;
/// The least of the first byte of a chunk that goes on with a message (5.3.1): no letter of a key is as great.
const GOES_ON: u8 = 0xC0;

/// What stands for a key of that many bytes.
pub fn stand_in(length: usize, chance: &Chance) -> String {
    let letter = || char::from(b'a' + chance.bytes::<1>()[0] % 26);
    std::iter::repeat_with(letter).take(length).collect()
}

/// Passes on what `client` and `server` say, with `key` where the client names its stream `stand_in`, which is as long: so
/// nothing else of the protocol changes. Returns when either has ended.
///
/// # Errors
/// When a connection breaks, or the client begins without naming its stream.
pub async fn relay(
    client: impl AsyncRead + AsyncWrite,
    server: impl AsyncRead + AsyncWrite,
    stand_in: &str,
    key: &str,
) -> Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let up = async {
        let mut names = Names::new(stand_in, key);
        let mut held = Vec::new();
        while !names.is_done() {
            let read = from_client.read_buf(&mut held).await?;
            let ready = if read == 0 { held.len() } else { names.put(&mut held)? };
            to_server.write_all(&held[..ready]).await?;
            held.drain(..ready);
            if read == 0 {
                return to_server.shutdown().await;
            }
        }
        to_server.write_all(&held).await?;
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let down = async { copy(&mut from_server, &mut to_client).await.map(drop) };
    tokio::select! {
        done = up => done,
        done = down => done,
    }
}

/// Puts the key where the stand-in is.
struct Names<'a> {
    /// The stand-in as a string of AMF 0: what it is, how long, and the letters.
    sought: Vec<u8>,
    key: &'a [u8],
    /// How many bytes have gone by.
    passed: usize,
    left: usize,
}

impl<'a> Names<'a> {
    fn new(stand_in: &str, key: &'a str) -> Self {
        let length = u16::try_from(stand_in.len()).unwrap_or(u16::MAX).to_be_bytes();
        let sought = [&[2], length.as_slice(), stand_in.as_bytes()].concat();
        Self { sought, key: key.as_bytes(), passed: 0, left: NAMINGS }
    }

    fn is_done(&self) -> bool {
        self.left == 0
    }

    /// How many of the bytes that are held may go on, the key in its place. The rest waits for more.
    fn put(&mut self, held: &mut [u8]) -> Result<usize> {
        let mut place = HANDSHAKE.saturating_sub(self.passed).min(held.len());
        while place < held.len() && self.left > 0 {
            match self.find(&held[place..]) {
                Found::Here(letters) => {
                    for (letter, key) in letters.iter().skip(3).zip(self.key) {
                        held[place + letter] = *key;
                    }
                    self.left -= 1;
                    place += letters.last().map_or(1, |last| last + 1);
                }
                Found::Begun => break,
                Found::Not => place += 1,
            }
        }
        let ready = if self.left == 0 { held.len() } else { place };
        self.passed += ready;
        if self.left > 0 && self.passed > HANDSHAKE + BEGINNING {
            return Err(Error::new(ErrorKind::InvalidData, "it begins without naming its stream"));
        }
        Ok(ready)
    }

    /// Whether the stand-in begins here: a message may be cut into chunks anywhere within it.
    fn find(&self, bytes: &[u8]) -> Found {
        let (mut letters, mut place) = (Vec::new(), 0);
        for sought in &self.sought {
            let goes_on = bytes.get(place).is_some_and(|byte| *byte >= GOES_ON && byte != sought);
            if goes_on && !letters.is_empty() {
                place += 1;
            }
            match bytes.get(place) {
                None => return Found::Begun,
                Some(byte) if byte == sought => letters.push(place),
                Some(_) => return Found::Not,
            }
            place += 1;
        }
        Found::Here(letters)
    }
}

enum Found {
    /// With the place of each of its bytes.
    Here(Vec<usize>),
    /// As far as there is anything.
    Begun,
    Not,
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What a client says that names its stream three times, the last time across two chunks.
    fn said(name: &str) -> Vec<u8> {
        let amf = |name: &str| [&[2, 0, name.len() as u8], name.as_bytes()].concat();
        let (first, rest) = name.split_at(3);
        let publish = [&[2, 0, name.len() as u8], first.as_bytes(), &[0xC3], rest.as_bytes()].concat();
        let handshake = vec![b'A'; HANDSHAKE];
        [handshake, amf(name), b"..".to_vec(), amf(name), publish, b"video AAAAAAAA".to_vec()].concat()
    }

    /// What the server hears of what a client says in pieces of that size.
    async fn passed_on(said: &[u8], piece: usize) -> Vec<u8> {
        let (mut client, ours) = duplex(64);
        let (theirs, mut server) = duplex(64);
        let send = async {
            for piece in said.chunks(piece) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            // Only now: a client that has hung up is one that has ended.
            client
        };
        let hear = async {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let (relayed, _client, heard) = tokio::join!(relay(ours, theirs, "AAAAAAAA", "the-keys"), send, hear);
        relayed.unwrap();
        heard
    }

    #[tokio::test]
    async fn the_key_takes_the_place_of_the_stand_in_wherever_it_is_cut() {
        let expected = [&said("the-keys")[HANDSHAKE..]].concat();
        for piece in 1..60 {
            let heard = passed_on(&said("AAAAAAAA"), piece).await;
            assert!(heard[..HANDSHAKE].iter().all(|byte| *byte == b'A'));
            // What is no name any more is the broadcast.
            assert_eq!(heard[HANDSHAKE..], expected, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn whoever_names_nothing_is_not_passed_on_for_long() {
        let (mut client, ours) = duplex(1024);
        let (theirs, mut server) = duplex(1024);
        let endless = async { while client.write_all(&[1; 512]).await.is_ok() {} };
        let heard = async { tokio::io::copy(&mut server, &mut tokio::io::sink()).await };
        let relayed = async { relay(ours, theirs, "AAAAAAAA", "the-keys").await };
        let (relayed, (), heard) = tokio::join!(relayed, endless, heard);
        assert_eq!(relayed.unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(heard.unwrap() <= (HANDSHAKE + BEGINNING + 4096) as u64);
    }

    #[test]
    fn a_stand_in_is_as_long_as_the_key() {
        let made = stand_in(35, &Chance::system());
        assert!(made.len() == 35 && made.bytes().all(|byte| byte.is_ascii_lowercase()));
        assert_ne!(made, stand_in(35, &Chance::system()));
    }
}
