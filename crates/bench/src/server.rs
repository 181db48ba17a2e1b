//! The servers of a run: those that are measured, and the floor.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::client::Endpoint;
use crate::process::Process;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

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
    pub(crate) database: String,
    /// A library to load before all others, with an environment variable for it.
    pub(crate) preload: Option<(PathBuf, (String, String))>,
}

impl Installation {
    pub(crate) fn new(binary: &Path, database: String) -> Self {
        Self { binary: binary.to_owned(), database, preload: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).args(["--database", &self.database]);
        if let Some((library, (name, value))) = &self.preload {
            command.env("LD_PRELOAD", library).env(name, value);
        }
        command
    }

    /// Makes a token and returns its secret.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        let output = self.command(&["token", "create", "--name", "benchmark"]).output()?;
        if !output.status.success() {
            bail!("no token could be made: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
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
        let mut lines = BufReader::new(stream).lines();
        let mut said = Vec::new();
        let found = loop {
            let Some(line) = lines.next().transpose()? else { break None };
            match url(&line) {
                Some(url) => break Some(url),
                None => said.push(line),
            }
        };
        // Somebody has to go on reading, or the server would wait for it one day.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(url) = found else {
            drop(child.kill());
            drop(child.wait());
            bail!("the server did not start: {}", said.join("\n"));
        };
        let endpoint = Endpoint::parse(&url, "")?;
        Ok(Self { child, endpoint, process, ready: started.elapsed() })
    }

    fn await_ready(&mut self, started: Instant) -> anyhow::Result<()> {
        while started.elapsed() < PATIENCE {
            if answers_ready(self.endpoint.address) {
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

fn answers_ready(address: std::net::SocketAddr) -> bool {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}
