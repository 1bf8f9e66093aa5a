//! WebSocket frames, as far as the protocol of subscriptions needs them.

/// What a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Close(&'a [u8]),
    /// Nothing that is answered.
    Other,
}

/// The first frame of some bytes and where it ends; `None` when it is not whole yet. A client's mask must be that of
/// [`of_client`].
pub(crate) fn read(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, head) = match second & 127 {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let head = if second & 0x80 == 0 { head } else { head + 4 };
    let payload = bytes.get(head..head + length)?;
    let frame = match first & 15 {
        1 => Frame::Text(payload),
        8 => Frame::Close(payload),
        9 => Frame::Ping(payload),
        _ => Frame::Other,
    };
    Some((frame, head + length))
}

/// A server's frame around a text.
pub(crate) fn of_server(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    head(&mut frame, text.len(), 0);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A client's frame. Its mask is of zeros, which is one like any other and changes nothing.
pub(crate) fn of_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    head(&mut frame, payload.len(), 0x80);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn head(frame: &mut Vec<u8>, length: usize, masked: u8) {
    match u8::try_from(length) {
        Ok(short @ ..126) => frame.push(masked | short),
        _ => {
            frame.push(masked | 126);
            frame.extend_from_slice(&u16::try_from(length).expect("a short message").to_be_bytes());
        }
    }
}
