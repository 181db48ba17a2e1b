//! An HTTP/1.1 client that sends exactly the given bytes.
//!
//! Clients of libraries add headers, normalize paths and refuse what is malformed; a test of a server
//! needs none of that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A stream that can be read and written: plain or TLS.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, put together when it came in chunks.
    pub body: Vec<u8>,
    /// The time to the last byte.
    pub elapsed: Duration,
}

impl Response {
    /// Returns the first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns a value in the body by its JSON pointer, as text.
    pub fn at(&self, pointer: &str) -> String {
        let json = self.json();
        match json.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// Fails with the body when the status is another one.
    #[track_caller]
    pub fn assert_status(&self, expected: u16) -> &Self {
        assert_eq!(self.status, expected, "the status of {}", self.text());
        self
    }

    /// Fails with the body when the value at a JSON pointer is another one.
    #[track_caller]
    pub fn assert_at(&self, pointer: &str, expected: impl Into<Value>) -> &Self {
        let found = self.json().pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected.into(), "{pointer} of {}", self.text());
        self
    }
}

/// A connection that is kept open between requests.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

impl Connection {
    /// Connects to an address.
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(Box::new(stream)))
    }

    /// Speaks HTTP over a stream that is there.
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads an interim answer such as `100 Continue` and returns its status.
    pub fn interim(&mut self) -> std::io::Result<u16> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        while !self.line()?.is_empty() {}
        status.ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {line:?}")))
    }

    /// Reads one answer; with `head` it has no body, whatever its headers say.
    pub fn receive(&mut self, head: bool) -> std::io::Result<Response> {
        let started = Instant::now();
        let status_line = self.line()?;
        let bad = || std::io::Error::other(format!("no HTTP answer: {status_line:?}"));
        let status =
            status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new(), elapsed: Duration::ZERO };
        if status == 100 {
            return self.receive(head);
        }
        if !head && status != 204 && status != 304 {
            let chunked =
                response.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
            response.body =
                match response.header("content-length").and_then(|length| length.parse().ok()) {
                    Some(length) => self.exactly(length)?,
                    None if chunked => self.chunks()?,
                    None => {
                        let mut rest = Vec::new();
                        self.stream.read_to_end(&mut rest)?;
                        rest
                    }
                };
        }
        response.elapsed = started.elapsed();
        Ok(response)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn exactly(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let length = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            body.extend(self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

/// Sends requests to one server with one token, each on a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    /// The server's address.
    pub address: SocketAddr,
    /// The token; none sends no `Authorization`.
    pub token: Option<String>,
    /// The path before every path.
    pub base: String,
}

impl Client {
    /// Makes a client for SCIM.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: Some(token.to_owned()), base: "/scim/v2".to_owned() }
    }

    /// Returns the same client with another token.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Writes a request as it goes over the wire.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut request = format!("{method} {}{path} HTTP/1.1\r\n", self.base);
        let named =
            |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !named("host") {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if body.is_some() && !typed {
            request.push_str("Content-Type: application/scim+json\r\n");
        }
        // The value "-" omits a header.
        for (name, value) in headers.iter().filter(|(_, value)| *value != "-") {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if body.is_some() || matches!(method, "POST" | "PUT" | "PATCH") {
            request.push_str(&format!("Content-Length: {}\r\n", body.map_or(0, <[u8]>::len)));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        bytes
    }

    /// Sends a request on an open connection.
    pub fn on(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Response {
        let body = body.map(|body| body.to_string().into_bytes());
        connection
            .send(&self.request(method, path, &[], body.as_deref()))
            .expect("the server takes the request");
        connection.receive(method == "HEAD").expect("the server answers")
    }

    /// Sends a request with these headers and this body.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Response {
        self.try_raw(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends a request that the server may cut off.
    pub fn try_raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> std::io::Result<Response> {
        let mut connection = Connection::open(self.address)?;
        // A server that refuses early may stop reading; its answer still counts.
        let sent = connection.send(&self.request(method, path, headers, body));
        match connection.receive(method == "HEAD") {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Response {
        self.raw("GET", path, &[], None)
    }

    /// A request with a JSON body.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        self.raw(method, path, &[], Some(body.to_string().as_bytes()))
    }

    /// POST.
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, body)
    }

    /// PUT.
    pub fn put(&self, path: &str, body: &Value) -> Response {
        self.send("PUT", path, body)
    }

    /// PATCH with these operations.
    pub fn patch(&self, path: &str, operations: &Value) -> Response {
        let body = serde_json::json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        self.send("PATCH", path, &body)
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Response {
        self.raw("DELETE", path, &[], None)
    }

    /// Creates a resource and returns its id.
    pub fn create(&self, path: &str, body: &Value) -> String {
        let response = self.post(path, body);
        assert_eq!(response.status, 201, "{path} {body}: {}", response.text());
        response.at("/id")
    }
}
