//! A server under test: the built binary, in a directory of its own, on a port from the kernel.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::http::Client;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory that goes with its last user.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    pub fn new() -> Self {
        loop {
            let count = COUNT.fetch_add(1, Ordering::SeqCst);
            let path =
                std::env::temp_dir().join(format!("headcount-e2e-{}-{count}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left behind by a process of the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("a temporary directory cannot be made: {error}"),
            }
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Where a server under test keeps its data.
pub struct Database {
    /// The URL for `--database`.
    pub url: String,
    scratch: Scratch,
    postgres: Option<String>,
}

impl Database {
    /// A file in a private directory.
    pub fn sqlite() -> Self {
        let scratch = Scratch::new();
        let url = format!("sqlite:{}", scratch.path().join("headcount.db").display());
        Self { url, scratch, postgres: None }
    }

    /// A database of its own on the server that the test command started.
    pub fn postgres() -> Self {
        let server = std::env::var("HEADCOUNT_TEST_POSTGRES").expect(
            "the tests of PostgreSQL need a server: run `cargo xtask test`, which starts one and sets HEADCOUNT_TEST_POSTGRES",
        );
        let name = format!("e2e{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        psql(&server, &format!("CREATE DATABASE {name}"));
        let url = server.replace("/postgres", &format!("/{name}"));
        Self { url, scratch: Scratch::new(), postgres: Some(name) }
    }

    /// Takes the PostgreSQL database away from everybody, or gives it back.
    pub fn set_available(&self, available: bool) {
        let (Some(name), Ok(server)) = (&self.postgres, std::env::var("HEADCOUNT_TEST_POSTGRES"))
        else {
            panic!("only a database of PostgreSQL can be taken away");
        };
        psql(&server, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {available}"));
        if !available {
            let sessions = format!("FROM pg_stat_activity WHERE datname = '{name}'");
            psql(&server, &format!("SELECT pg_terminate_backend(pid) {sessions}"));
        }
    }

    /// Returns whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// Returns the private directory.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let (Some(name), Ok(server)) = (&self.postgres, std::env::var("HEADCOUNT_TEST_POSTGRES"))
        {
            psql(&server, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// Runs one statement, for what a client of the server cannot do.
pub fn psql(url: &str, statement: &str) -> String {
    let output =
        Command::new("psql").args(["-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement, url]).output();
    let output = output.expect("psql can be run");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The binary that is tested: the one built next to the tests, or the one that the test command names.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("HEADCOUNT_BIN") {
        return PathBuf::from(named);
    }
    let tests = std::env::current_exe().expect("the test knows where it is");
    let built = tests
        .parent()
        .and_then(Path::parent)
        .expect("tests are built in target/…/deps")
        .join("headcount");
    assert!(
        built.exists(),
        "{} is missing: run `cargo xtask test`, or `cargo build` before `cargo test`",
        built.display()
    );
    built
}

/// A running server.
pub struct Server {
    child: Mutex<Child>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its data.
    pub database: Arc<Database>,
    /// What it has written to standard error.
    pub log: Arc<Mutex<Vec<String>>>,
    directory: PathBuf,
    /// What other commands need to know of its configuration.
    environment: Vec<(String, String)>,
}

impl Server {
    /// Starts a server on a database.
    pub fn start(database: Database) -> Self {
        Self::start_with(Arc::new(database), &[], &[])
    }

    /// Starts a server with more flags and with environment variables.
    pub fn start_with(
        database: Arc<Database>,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(binary());
        command.args(["serve", "--database", &database.url]);
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(flags).envs(environment.iter().copied()).current_dir(database.path());
        command
            .env("HEADCOUNT__LOGGING__FORMAT", "json")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .stdin(Stdio::null());
        let mut child = command.spawn().expect("the server can be started");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, sink) =
            (BufReader::new(child.stderr.take().expect("it was piped")).lines(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().expect("no reader panics").push(line);
            }
        });
        let address = wait_for(Duration::from_secs(20), || {
            let lines = log.lock().expect("no reader panics");
            let line = lines.iter().find(|line| line.starts_with("headcount listens on "))?;
            line.rsplit("//").next()?.parse().ok()
        });
        let address = address.unwrap_or_else(|| {
            panic!("the server did not start: {:?}", log.lock().expect("no reader panics"))
        });
        let directory = database.path().to_owned();
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = environment.collect();
        Self { child: Mutex::new(child), address, database, log, directory, environment }
    }

    /// Runs a command of the same binary on the same database.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .args(["--database", &self.database.url])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory);
        command.output().expect("the command can be run")
    }

    /// Returns a command of the same binary that asks this server, and knows nothing of its database.
    pub fn ask(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .args(["--server", &format!("http://{}", self.address)])
            .env("HEADCOUNT_TOKEN", token)
            .env("HEADCOUNT__DATABASE__URL", "sqlite:nowhere/nothing.db");
        command
    }

    /// Makes a token for the tenant `default` with the command line and returns its secret.
    pub fn token(&self, more: &[&str]) -> String {
        let output = self.run(&[&["token", "create", "--name", "test"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Returns a client of the admin API with a new token that has these scopes.
    pub fn admin(&self, scopes: &str) -> Client {
        let token = self.token(&["--scope", scopes]);
        Client { base: "/api/v1".to_owned(), ..Client::new(self.address, &token) }
    }

    /// Returns a client with a new token that may do everything an identity provider does.
    pub fn client(&self) -> Client {
        Client::new(self.address, &self.token(&[]))
    }

    /// Returns a client of a new tenant whose quirks are set as given.
    pub fn tenant(&self, name: &str, quirks: &str) -> Client {
        let made = self.run(&["tenant", "create", name, "--quirks", quirks]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Client::new(self.address, &self.token(&["--tenant", name]))
    }

    /// Returns the sum of a metric over all its labels, or over those that contain `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let client = Client { address: self.address, token: None, base: String::new() };
        let text = client.get("/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Returns the id of the server's process.
    pub fn pid(&self) -> u32 {
        self.child.lock().expect("no user panics").id()
    }

    /// Signals the server to stop, as a supervisor does.
    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    }

    /// Waits until the server has stopped and returns whether it stopped well.
    pub fn stopped(&self, patience: Duration) -> Option<bool> {
        wait_for(patience, || {
            let status = self
                .child
                .lock()
                .expect("no user panics")
                .try_wait()
                .expect("the process can be asked");
            status.map(|status| status.success())
        })
    }

    /// Returns all of the log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no reader panics").join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().expect("no user panics");
        drop(child.kill());
        drop(child.wait());
    }
}

/// Asks again and again until there is an answer or the time is over.
pub fn wait_for<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if Instant::now() >= end => return None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
