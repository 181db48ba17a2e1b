//! The servers of a run: those that are measured, and the floor.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::client::Endpoint;
use crate::process::Process;

/// How long a server may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server; stops with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) endpoint: Endpoint,
    pub(crate) process: Process,
    /// From the start of the process to the first good answer of `/readyz`.
    pub(crate) ready: Duration,
}

/// A built binary and the database that it works on.
#[derive(Clone)]
pub(crate) struct Installation {
    pub(crate) binary: PathBuf,
    /// The working directory of its processes, which is removed after the run.
    directory: PathBuf,
    pub(crate) database: String,
    /// Environment variables of its processes.
    pub(crate) environment: Vec<(String, String)>,
}

impl Installation {
    pub(crate) fn new(binary: &Path, directory: &Path, database: String) -> Self {
        let (binary, directory) = (binary.to_owned(), directory.to_owned());
        Self { binary, directory, database, environment: Vec::new() }
    }

    /// The same with one more environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).args(["--database", &self.database]);
        command.current_dir(&self.directory);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("headcount {}: {said}", arguments.join(" "));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Creates a token, with more arguments of the command, and returns its secret.
    pub(crate) fn token(&self, arguments: &[&str]) -> anyhow::Result<String> {
        // Only `serve` and `migrate` make a database, and the token is there before the server starts.
        self.run(&["migrate"])?;
        let create = ["token", "create", "--name", "benchmark"];
        Ok(self.run(&[&create[..], arguments].concat())?.trim().to_owned())
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(&self, token: &str) -> anyhow::Result<Server> {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.binary.display()))?;
        let mut server = Server::of(child, started, |line| {
            line.strip_prefix("headcount listens on ").map(|url| format!("{url}/scim/v2"))
        })?;
        server.endpoint = server.endpoint.with_token(token);
        server.await_ready(started)?;
        Ok(server)
    }
}

/// Starts floor (a) in a process of its own.
pub(crate) fn floor() -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let started = Instant::now();
    Server::of(command.spawn()?, started, |line| Some(format!("http://{line}")))
}

impl Server {
    /// Waits for the line that says where the server listens.
    fn of(
        mut child: Child,
        started: Instant,
        url: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let process = Process::one(child.id());
        let stream: Box<dyn std::io::Read + Send> = match (child.stderr.take(), child.stdout.take())
        {
            (Some(stream), _) => Box::new(stream),
            (None, Some(stream)) => Box::new(stream),
            (None, None) => bail!("the server has no output"),
        };
        let mut stream = BufReader::new(stream);
        let mut lines = stream.by_ref().lines();
        let mut lines_before = Vec::new();
        let found = loop {
            let Some(line) = lines.next().transpose()? else { break None };
            match url(&line) {
                Some(url) => break Some(url),
                None => lines_before.push(line),
            }
        };
        std::thread::spawn(move || drain(&mut stream));
        let Some(url) = found else {
            drop(child.kill());
            drop(child.wait());
            bail!("the server did not start: {}", lines_before.join("\n"));
        };
        let endpoint = Endpoint::parse(&url, "")?;
        Ok(Self { child, endpoint, process, ready: started.elapsed() })
    }

    fn await_ready(&mut self, started: Instant) -> anyhow::Result<()> {
        while started.elapsed() < START_TIMEOUT {
            if answers_ready(self.endpoint.address).unwrap_or(false) {
                self.ready = started.elapsed();
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("the server does not get ready")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads the rest, for which the server would wait otherwise; seldom, since each line that wakes a reader
/// takes time of the processors that are measured.
fn drain(stream: &mut impl Read) {
    let mut lines = vec![0; 64 * 1024];
    while stream.read(&mut lines).is_ok_and(|count| count > 0) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn answers_ready(address: std::net::SocketAddr) -> std::io::Result<bool> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}
