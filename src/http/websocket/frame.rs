//! WebSocket frames, as RFC 6455 has them: what a client's bytes say, and how ours are wrapped. Headers are read and
//! written by a library; here is how frames make messages.
//!
//! It knows neither sockets nor the protocol above. It keeps nothing between messages: bytes are read where they
//! lie, and only the beginning of what has not arrived whole is put by.

use std::io::Cursor;
use std::ops::ControlFlow;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The most bytes that a control frame carries.
const LONGEST_CONTROL: usize = 125;

/// A whole message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming<'a> {
    /// Text.
    Text(&'a str),
    /// Anything else that carries data.
    Binary,
    /// To be answered with the same bytes.
    Ping(&'a [u8]),
    /// A sign of life.
    Pong,
    /// A fragment without bytes, behind which the message goes on.
    Nothing,
    /// The client closes.
    Close,
}

/// A client's bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// Against RFC 6455.
    Protocol,
    /// Text that is not UTF-8.
    Encoding,
    /// Larger than what is taken.
    TooBig,
}

/// What has arrived of a message that is not complete.
#[derive(Default)]
pub(super) struct Frames {
    /// The beginning of a frame.
    begun: Vec<u8>,
    /// The frames so far of a message that comes in several.
    message: Option<Message>,
}

struct Message {
    is_text: bool,
    bytes: Vec<u8>,
}

impl Frames {
    /// How many bytes wait for the rest of their message.
    pub(super) fn held(&self) -> usize {
        self.begun.len() + self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    /// Whether a message has begun and has not come to its end, which it may have without a single byte.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.begun.is_empty() || self.message.is_some()
    }

    /// Takes bytes as they arrive, which it unmasks where they lie, and passes on each message that they complete,
    /// until it is told to break off.
    ///
    /// # Errors
    /// When the client must be told to go. `largest` is the size of message that is taken, in bytes.
    pub(super) fn feed(
        &mut self,
        bytes: &mut [u8],
        largest: usize,
        take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        if self.begun.is_empty() {
            let used = self.read(bytes, largest, take)?;
            self.begun = bytes[used..].to_vec();
        } else {
            let mut begun = std::mem::take(&mut self.begun);
            begun.extend_from_slice(bytes);
            let used = self.read(&mut begun, largest, take)?;
            begun.drain(..used);
            if !begun.is_empty() {
                self.begun = begun;
            }
        }
        Ok(())
    }

    /// Reads whole frames; how many bytes they were.
    fn read(
        &mut self,
        bytes: &mut [u8],
        largest: usize,
        take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut used = 0;
        loop {
            let mut cursor = Cursor::new(&bytes[used..]);
            let header = FrameHeader::parse(&mut cursor).map_err(|_| Violation::Protocol)?;
            let Some((header, length)) = header else { return Ok(used) };
            let length = usize::try_from(length).map_err(|_| Violation::TooBig)?;
            self.admit(&header, length, largest)?;
            let start = used + usize::try_from(cursor.position()).map_err(|_| Violation::TooBig)?;
            let Some(payload) = bytes.get_mut(start..start + length) else { return Ok(used) };
            used = start + length;
            header.mask.into_iter().for_each(|mask| unmask(payload, mask));
            if self.frame(&header, payload, take)?.is_break() {
                return Ok(bytes.len());
            }
        }
    }

    /// Judges a frame by its header, before it is waited for.
    fn admit(&self, header: &FrameHeader, length: usize, largest: usize) -> Result<(), Violation> {
        let reserved = header.rsv1 || header.rsv2 || header.rsv3;
        let fits = match header.opcode {
            OpCode::Control(_) => header.is_final && length <= LONGEST_CONTROL,
            OpCode::Data(Data::Continue) => self.message.is_some(),
            OpCode::Data(_) => self.message.is_none(),
        };
        if reserved || header.mask.is_none() || !fits {
            return Err(Violation::Protocol);
        }
        let so_far = self.message.as_ref().map_or(0, |message| message.bytes.len());
        if so_far.saturating_add(length) > largest { Err(Violation::TooBig) } else { Ok(()) }
    }

    fn frame(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Ok(take(Incoming::Ping(payload))),
            OpCode::Control(Control::Pong) => Ok(take(Incoming::Pong)),
            OpCode::Control(_) => Ok(take(Incoming::Close)),
            OpCode::Data(data) => {
                let is_text = data == Data::Text;
                if header.is_final && self.message.is_none() {
                    return Ok(take(whole(is_text, payload)?));
                }
                let message = self.message.get_or_insert_with(|| Message { is_text, bytes: Vec::new() });
                message.bytes.extend_from_slice(payload);
                match self.message.take_if(|_| header.is_final) {
                    Some(message) => Ok(take(whole(message.is_text, &message.bytes)?)),
                    None if payload.is_empty() => Ok(take(Incoming::Nothing)),
                    None => Ok(ControlFlow::Continue(())),
                }
            }
        }
    }
}

fn whole(is_text: bool, bytes: &[u8]) -> Result<Incoming<'_>, Violation> {
    match is_text {
        true => std::str::from_utf8(bytes).map(Incoming::Text).map_err(|_| Violation::Encoding),
        false => Ok(Incoming::Binary),
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut blocks = payload.chunks_exact_mut(4);
    for block in blocks.by_ref() {
        block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    blocks.into_remainder().iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

/// Appends a text frame whose text is these parts, one after the other.
pub(super) fn text(out: &mut Vec<u8>, parts: &[&str]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    header(out, OpCode::Data(Data::Text), length);
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// Appends a ping without bytes.
pub(super) fn ping(out: &mut Vec<u8>) {
    header(out, OpCode::Control(Control::Ping), 0);
}

/// Appends the answer to a ping.
pub(super) fn pong(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, OpCode::Control(Control::Pong), bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a close frame; `reason` has at most 123 bytes.
pub(super) fn close(out: &mut Vec<u8>, code: u16, reason: &str) {
    header(out, OpCode::Control(Control::Close), 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends the answer to a close: a close frame that says nothing.
pub(super) fn closed(out: &mut Vec<u8>) {
    header(out, OpCode::Control(Control::Close), 0);
}

fn header(out: &mut Vec<u8>, opcode: OpCode, length: usize) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // A vector takes everything.
    let _ = header.format(length as u64, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LARGEST: usize = 1000;

    /// What a client sends: a frame with a mask.
    fn sent(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { opcode, is_final, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], [1, 2, 3, 4]);
        bytes
    }

    fn heard(frames: &mut Frames, mut bytes: Vec<u8>) -> Result<Vec<String>, Violation> {
        let mut heard = Vec::new();
        frames.feed(&mut bytes, LARGEST, &mut |incoming| {
            heard.push(format!("{incoming:?}"));
            ControlFlow::Continue(())
        })?;
        Ok(heard)
    }

    #[test]
    fn frames_make_messages_with_control_frames_in_between() {
        let text = OpCode::Data(Data::Text);
        let bytes = [
            sent(text, false, "Zwei Fr".as_bytes()),
            sent(OpCode::Control(Control::Ping), true, b"?"),
            sent(OpCode::Data(Data::Continue), true, "änkli".as_bytes()),
            sent(OpCode::Data(Data::Binary), true, &[0xff]),
            sent(OpCode::Control(Control::Close), true, &[]),
        ];
        let mut frames = Frames::default();
        let heard = heard(&mut frames, bytes.concat()).unwrap();
        assert_eq!(heard, ["Ping([63])", r#"Text("Zwei Fränkli")"#, "Binary", "Close"]);
        assert!(frames.begun.capacity() == 0 && frames.message.is_none(), "nothing is kept");
    }

    #[test]
    fn a_message_of_empty_fragments_has_begun() {
        let mut frames = Frames::default();
        let more = OpCode::Data(Data::Continue);
        let bytes =
            [sent(OpCode::Data(Data::Text), false, b""), sent(more, false, b""), sent(more, false, b"")];
        assert_eq!(heard(&mut frames, bytes.concat()).unwrap(), ["Nothing", "Nothing", "Nothing"]);
        assert!(frames.is_incomplete() && frames.held() == 0);
        assert_eq!(heard(&mut frames, sent(more, true, b"hi")).unwrap(), [r#"Text("hi")"#]);
        assert!(!frames.is_incomplete());
    }

    /// A text with one of the bits that nobody has given a meaning.
    fn reserved(bit: u8) -> Vec<u8> {
        let mut bytes = sent(OpCode::Data(Data::Text), true, b"hello");
        bytes[0] |= bit;
        bytes
    }

    #[test]
    fn each_breach_is_told_apart() {
        let text = OpCode::Data(Data::Text);
        let mut unmasked = Vec::new();
        super::text(&mut unmasked, &["hello"]);
        for (bytes, violation) in [
            (unmasked, Violation::Protocol),
            (sent(OpCode::Data(Data::Continue), true, b"?"), Violation::Protocol),
            ([sent(text, false, b"a"), sent(text, true, b"b")].concat(), Violation::Protocol),
            (sent(OpCode::Control(Control::Ping), false, b""), Violation::Protocol),
            (sent(OpCode::Control(Control::Ping), true, &[0; 126]), Violation::Protocol),
            (sent(OpCode::Data(Data::Reserved(3)), true, b""), Violation::Protocol),
            (sent(OpCode::Control(Control::Reserved(11)), true, b""), Violation::Protocol),
            (reserved(0x40), Violation::Protocol),
            (reserved(0x20), Violation::Protocol),
            (reserved(0x10), Violation::Protocol),
            (sent(text, true, &[0xff]), Violation::Encoding),
            (
                [sent(text, false, &[0xe2, 0x82]), sent(OpCode::Data(Data::Continue), true, b"?")].concat(),
                Violation::Encoding,
            ),
            (sent(text, true, &[b' '; LARGEST + 1]), Violation::TooBig),
            ([sent(text, false, b" "), vec![0x80, 0xff], vec![0xff; 12]].concat(), Violation::TooBig),
            (
                [sent(text, false, &[b' '; LARGEST]), sent(OpCode::Data(Data::Continue), true, b"?")]
                    .concat(),
                Violation::TooBig,
            ),
        ] {
            assert_eq!(heard(&mut Frames::default(), bytes), Err(violation));
        }
    }

    proptest! {
        /// However the bytes are cut on their way.
        #[test]
        fn messages_arrive_whole(texts in prop::collection::vec(".{0,200}", 1..8), cut in 1usize..300) {
            let bytes: Vec<u8> = texts.iter().flat_map(|it| sent(OpCode::Data(Data::Text), true, it.as_bytes())).collect();
            let mut frames = Frames::default();
            let arrived: Vec<String> =
                bytes.chunks(cut).flat_map(|bytes| heard(&mut frames, bytes.to_vec()).unwrap()).collect();
            let expected: Vec<String> = texts.iter().map(|text| format!("{:?}", Incoming::Text(text))).collect();
            prop_assert_eq!(arrived, expected);
        }

        #[test]
        fn no_bytes_are_a_danger(pieces: Vec<Vec<u8>>) {
            let mut frames = Frames::default();
            for piece in pieces {
                if heard(&mut frames, piece).is_err() {
                    break;
                }
                prop_assert!(frames.begun.len() <= LARGEST + 14);
            }
        }
    }
}
