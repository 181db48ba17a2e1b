//! A client for load: one task per connection, as little work per request as HTTP/1.1 allows.
//!
//! The generator shares the machine with the server, so whatever it costs is missing there. It writes a
//! request with one call and keeps nothing of an answer but its status and body.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request of a workload.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// The path under the base URL, with its query.
    pub(crate) path: String,
    pub(crate) body: Option<String>,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self { method: "GET", path, body: None }
    }

    pub(crate) fn with(method: &'static str, path: String, body: String) -> Self {
        Self { method, path, body: Some(body) }
    }
}

/// A SCIM server under load: its address and a token.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// Host and port as in the URL.
    host: String,
    /// The path of the base URL without a slash at its end.
    prefix: String,
    token: String,
}

impl Endpoint {
    /// Reads `http://HOST:PORT/PATH`.
    pub(crate) fn parse(url: &str, token: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| {
            format!("{url}: the generator speaks plain HTTP; give http://HOST:PORT/PATH")
        })?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut found = std::net::ToSocketAddrs::to_socket_addrs(&with_port)?;
        let address = found.next().with_context(|| format!("{host} has no address"))?;
        Ok(Self {
            address,
            host: host.to_owned(),
            prefix: path.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    /// The same server below another path.
    pub(crate) fn below(&self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self.clone() }
    }

    /// The same server with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }
}

/// An answer, as long as the next request is not sent.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }

    /// Status and beginning of the body, for errors.
    pub(crate) fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(self.body).chars().take(300).collect();
        format!("{} {text}", self.status)
    }
}

/// A connection that is kept open.
pub(crate) struct Connection {
    endpoint: Endpoint,
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(endpoint.address)
            .await
            .with_context(|| format!("{} does not answer", endpoint.host))?;
        stream.set_nodelay(true)?;
        let (out, input) = (Vec::with_capacity(4 * 1024), Vec::with_capacity(64 * 1024));
        Ok(Self { endpoint: endpoint.clone(), stream, out, input, body: Vec::new() })
    }

    /// Sends a request and reads its answer to the last byte.
    pub(crate) async fn call(&mut self, request: &Request) -> anyhow::Result<Answer<'_>> {
        self.write(request);
        self.stream.write_all(&self.out).await?;
        self.input.clear();
        let head_end = self.find(0, b"\r\n\r\n").await? + 4;
        let head = Head::parse(self.input.get(..head_end).unwrap_or_default())?;
        self.body.clear();
        if head.chunked {
            self.chunks(head_end).await?;
        } else {
            let end = head_end + head.length;
            self.read_to(end).await?;
            self.body.extend_from_slice(self.input.get(head_end..end).unwrap_or_default());
        }
        if head.closes {
            self.stream = TcpStream::connect(self.endpoint.address).await?;
            self.stream.set_nodelay(true)?;
        }
        Ok(Answer { status: head.status, body: &self.body })
    }

    fn write(&mut self, request: &Request) {
        let Endpoint { host, prefix, token, .. } = &self.endpoint;
        self.out.clear();
        let body = request.body.as_deref();
        let mut put = |text: &str| self.out.extend_from_slice(text.as_bytes());
        for part in [request.method, " ", prefix, &request.path, " HTTP/1.1\r\nhost: ", host] {
            put(part);
        }
        put("\r\naccept: application/scim+json");
        if !token.is_empty() {
            put("\r\nauthorization: Bearer ");
            put(token);
        }
        if let Some(body) = body {
            put("\r\ncontent-type: application/scim+json\r\ncontent-length: ");
            put(&body.len().to_string());
        }
        put("\r\n\r\n");
        put(body.unwrap_or_default());
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.input).await? == 0 {
            bail!("the server closed the connection before its answer was complete");
        }
        Ok(())
    }

    /// Reads until some bytes are there, from a position on, and returns where they are.
    async fn find(&mut self, from: usize, wanted: &[u8]) -> anyhow::Result<usize> {
        loop {
            let rest = self.input.get(from..).unwrap_or_default();
            if let Some(at) = rest.windows(wanted.len()).position(|bytes| bytes == wanted) {
                return Ok(from + at);
            }
            self.more().await?;
        }
    }

    async fn read_to(&mut self, end: usize) -> anyhow::Result<()> {
        while self.input.len() < end {
            self.more().await?;
        }
        Ok(())
    }

    /// Reads a body that comes in chunks, dropping each as soon as it is copied.
    async fn chunks(&mut self, mut at: usize) -> anyhow::Result<()> {
        loop {
            let line_end = self.find(at, b"\r\n").await?;
            let digits = std::str::from_utf8(self.input.get(at..line_end).unwrap_or_default())?;
            let digits = digits.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).context("a chunk has no length")?;
            let (begin, end) = (line_end + 2, line_end + 2 + length);
            self.read_to(end + 2).await?;
            if length == 0 {
                return Ok(());
            }
            self.body.extend_from_slice(self.input.get(begin..end).unwrap_or_default());
            self.input.drain(..end + 2);
            at = 0;
        }
    }
}

struct Head {
    status: u16,
    length: usize,
    chunked: bool,
    closes: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("the head of an answer is no text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.context("an answer has no status")?;
        let mut head = Self { status, length: 0, chunked: false, closes: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().context("content-length")?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_the_body_ends() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap();
        assert_eq!((head.status, head.length, head.chunked), (200, 12, false));
        let head = Head::parse(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(head.unwrap().chunked);
        assert!(Head::parse(b"nothing").is_err());
    }

    #[test]
    fn a_base_url_is_taken_apart() {
        let endpoint = Endpoint::parse("http://127.0.0.1:80/scim/v2/", "t").unwrap();
        assert_eq!(endpoint.host, "127.0.0.1:80");
        assert_eq!(endpoint.prefix, "/scim/v2");
        assert!(Endpoint::parse("https://example.com", "t").is_err());
    }
}
