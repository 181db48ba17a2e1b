//! Heads of HTTP/1 requests that end a line without CR.
//!
//! RFC 9112 §2.2 lets a recipient accept a bare LF, and the HTTP library does. A proxy in front may not: what is a
//! value for one is a line, or the end of the head, for the other, and a request can be hidden in between. The
//! library has no switch for it and shows no bytes of a head, so that they are looked at on their way to it. That
//! needs to know where a body ends, and nothing else: whatever this does not understand, the library refuses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::rt::net::{ActixStream, Ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a line that are kept, to recognize the headers that say where a body ends. Longer ones of these are
/// refused.
const MAX_LINE: usize = 128;

/// A connection whose requests are looked at, if it speaks HTTP/1.
pub(super) struct Guarded<T> {
    pub(super) io: T,
    requests: Option<Requests>,
}

impl<T> Guarded<T> {
    /// Looks at the requests of a connection that speaks HTTP/1.
    pub(super) fn http1(io: T) -> Self {
        Self { io, requests: Some(Requests::default()) }
    }

    /// Passes on everything: HTTP/2 has no lines.
    pub(super) fn http2(io: T) -> Self {
        Self { io, requests: None }
    }
}

/// Where in the requests of a connection its next byte is.
#[derive(Default)]
struct Requests {
    position: Position,
    line: Line,
    /// Whether the first line of the head is complete.
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Default)]
enum Position {
    #[default]
    Head,
    /// A body of which so many bytes are missing.
    Body(u64),
    Chunk(Chunk),
    /// After what the library refuses.
    Refused,
}

/// The parts of a body in chunks (RFC 9112 §7.1), with the size of the chunk.
#[derive(Clone, Copy)]
enum Chunk {
    FirstDigit,
    Digits(u64),
    Space(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    EndCr,
    EndLf,
    Trailer,
    TrailerLf,
}

/// The line that is being read.
#[derive(Default)]
struct Line {
    start: Vec<u8>,
    is_long: bool,
    last: Option<u8>,
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.start.len());
        self.start.extend(bytes.iter().take(room));
        self.is_long |= bytes.len() > room;
        self.last = bytes.last().copied().or(self.last);
    }
}

impl Requests {
    /// Looks at the next bytes. A bare LF in a head becomes a NUL, which the library refuses with 400 wherever in a
    /// head it is.
    fn pass(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.position {
                Position::Head => self.pass_line(rest),
                Position::Body(missing) => {
                    let (taken, missing) = skip(rest, missing);
                    self.position =
                        if missing == 0 { Position::Head } else { Position::Body(missing) };
                    taken
                }
                Position::Chunk(Chunk::Data(missing)) => {
                    let (taken, missing) = skip(rest, missing);
                    let next = if missing == 0 { Chunk::DataCr } else { Chunk::Data(missing) };
                    self.position = Position::Chunk(next);
                    taken
                }
                Position::Chunk(chunk) => {
                    self.position = rest.first().map_or(self.position, |byte| chunk.after(*byte));
                    1
                }
                Position::Refused => rest.len(),
            };
            rest = rest.get_mut(taken..).unwrap_or_default();
        }
    }

    /// Looks at the rest of a line, or at what has arrived of it, and returns its length.
    fn pass_line(&mut self, bytes: &mut [u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at_mut(end.unwrap_or(bytes.len()));
        self.line.add(line);
        let Some(end) = rest.first_mut() else { return line.len() };
        if !self.end_line() {
            *end = 0;
            self.position = Position::Refused;
        }
        line.len() + 1
    }

    /// Ends a line; false when its request has to be refused.
    fn end_line(&mut self) -> bool {
        let Line { start, is_long, last } = std::mem::take(&mut self.line);
        if last != Some(b'\r') {
            return false;
        }
        let text = start.strip_suffix(b"\r").unwrap_or(&start);
        if text.is_empty() {
            // Empty lines before a request are ignored (RFC 9112 §2.2).
            return !self.begun || self.end_head();
        }
        if !std::mem::replace(&mut self.begun, true) {
            return true;
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else { return true };
        let (name, value) = text.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_first = self.length.is_none();
            self.length = number(value);
            return is_first && !is_long && self.length.is_some();
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_first = !std::mem::replace(&mut self.chunked, true);
            return is_first && !is_long && value.eq_ignore_ascii_case(b"chunked");
        }
        true
    }

    /// Ends a head; false when its body could end in two places.
    fn end_head(&mut self) -> bool {
        let Self { length, chunked, .. } = std::mem::take(self);
        self.position = match (length, chunked) {
            (None | Some(0), false) => Position::Head,
            (Some(length), false) => Position::Body(length),
            (None, true) => Position::Chunk(Chunk::FirstDigit),
            (Some(_), true) => return false,
        };
        true
    }
}

impl Chunk {
    /// Returns the position after a byte, by the library's rules.
    fn after(self, byte: u8) -> Position {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        let next = match (self, byte, digit) {
            (Self::FirstDigit, _, Some(digit)) => Some(Self::Digits(digit)),
            (Self::Digits(size), _, Some(digit)) => {
                size.checked_mul(16).and_then(|size| size.checked_add(digit)).map(Self::Digits)
            }
            (Self::Digits(size) | Self::Space(size), b'\t' | b' ', _) => Some(Self::Space(size)),
            (Self::Digits(size) | Self::Space(size), b';', _) => Some(Self::Extension(size)),
            (Self::Digits(size) | Self::Space(size) | Self::Extension(size), b'\r', _) => {
                Some(Self::SizeLf(size))
            }
            (Self::Extension(size), b'\t' | b' '..=b'~' | 0x80.., _) => Some(Self::Extension(size)),
            (Self::SizeLf(0), b'\n', _) => Some(Self::EndCr),
            (Self::SizeLf(size), b'\n', _) => Some(Self::Data(size)),
            (Self::DataCr, b'\r', _) => Some(Self::DataLf),
            (Self::DataLf, b'\n', _) => Some(Self::FirstDigit),
            (Self::EndCr, b'\r', _) => Some(Self::EndLf),
            (Self::EndCr, _, _) => Some(Self::Trailer),
            (Self::EndLf, b'\n', _) => return Position::Head,
            (Self::Trailer, b'\r', _) => Some(Self::TrailerLf),
            (Self::Trailer, _, _) => Some(Self::Trailer),
            (Self::TrailerLf, b'\n', _) => Some(Self::EndCr),
            _ => None,
        };
        next.map_or(Position::Refused, Position::Chunk)
    }
}

/// Reads a length: digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Returns how many of the bytes belong to a part of this length, and how many are missing then.
fn skip(bytes: &[u8], missing: u64) -> (usize, u64) {
    let taken = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
    let counted = u64::try_from(taken).unwrap_or(missing);
    (taken, missing.saturating_sub(counted))
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        if let Some(requests) = &mut this.requests {
            requests.pass(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: ActixStream> ActixStream for Guarded<T> {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.io.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.io.poll_write_ready(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library gets, of bytes that arrive in parts of each length.
    fn passed(sent: &str) -> Vec<u8> {
        let lengths = 1..=sent.len();
        let each = lengths.map(|length| {
            let (mut bytes, mut requests) = (sent.as_bytes().to_vec(), Requests::default());
            bytes.chunks_mut(length).for_each(|part| requests.pass(part));
            bytes
        });
        let all: Vec<Vec<u8>> = each.collect();
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{sent:?} depends on its parts");
        all.into_iter().next().unwrap()
    }

    #[test]
    fn j_what_is_no_bare_lf_in_a_head_arrives_unchanged() {
        for sent in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            // A body may contain what it likes, and the next head is found behind it.
            "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\na\nb\n\n\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\n\n\n\r\nA;x=\"y\"\r\n\n234567890\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(String::from_utf8(passed(sent)).unwrap(), sent);
        }
    }

    #[test]
    fn j_a_bare_lf_in_a_head_is_replaced() {
        for (sent, after) in [
            ("\nGET / HTTP/1.1\r\n\r\n", ""),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1"),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\r\nHost: a\r\n"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\n\nGET / HTTP/1.1\n",
                "\n\nGET / HTTP/1.1",
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nA: b\n",
                "A: b",
            ),
            // Where a body ends must be beyond doubt.
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
                "1\r\nContent-Length: 1\r",
            ),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n", "+1\r"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", "gzip, chunked\r"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "chunked\r\n\r",
            ),
        ] {
            let passed = passed(sent);
            let found = passed.iter().position(|byte| *byte == 0);
            let found = found.unwrap_or_else(|| panic!("{sent:?} is passed on"));
            assert!(passed[..found].ends_with(after.as_bytes()), "{sent:?}: {found}");
            assert_eq!(passed.iter().filter(|byte| **byte == 0).count(), 1, "{sent:?}");
        }
    }

    #[test]
    fn j_long_lines_are_not_kept() {
        let mut requests = Requests::default();
        let mut line = b"GET /".to_vec();
        line.extend(vec![b'x'; 100_000]);
        requests.pass(&mut line);
        assert!(requests.line.start.len() <= MAX_LINE);
        let long = format!("POST / HTTP/1.1\r\nContent-Length: {}1\r\n", " ".repeat(MAX_LINE));
        let mut bytes = long.into_bytes();
        Requests::default().pass(&mut bytes);
        assert!(bytes.contains(&0));
    }
}
