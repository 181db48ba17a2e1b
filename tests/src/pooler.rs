//! PgBouncer in transaction mode between a server and PostgreSQL, reached by a socket of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::server::{psql, wait_for};

/// A running PgBouncer; stops with this value.
pub struct Pooler {
    child: Child,
    directory: PathBuf,
}

/// The number in the socket's name; no network is involved.
const PORT: u16 = 6432;

impl Pooler {
    /// Starts one in `directory` for the server whose socket is in `server`. It has fewer connections
    /// than its clients, so that transactions of one client run on different ones.
    pub fn start(directory: &Path, server: &Path) -> Self {
        let file = directory.join("pgbouncer.ini");
        let (server, here) = (server.display(), directory.display());
        let settings = format!(
            "[databases]\n* = host={server} user=postgres\n\n[pgbouncer]\nlisten_addr =\n\
             listen_port = {PORT}\nunix_socket_dir = {here}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 200\n\
             admin_users = postgres\nserver_round_robin = 1\n"
        );
        std::fs::write(&file, settings).expect("a private directory can be written");
        // Started by root, it runs under an account that must be able to make its socket here.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(directory, open).expect("our own directory can be opened");
        let mut command = Command::new("pgbouncer");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        command.env("PATH", std::env::join_paths(paths).expect("the path is a path"));
        let output = Command::new("id").arg("-u").output().expect("id can be run");
        if output.stdout.trim_ascii() == b"0" {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is installed: `cargo xtask test` does it");
        let pooler = Self { child, directory: directory.to_owned() };
        let socket = directory.join(format!(".s.PGSQL.{PORT}"));
        wait_for(Duration::from_secs(10), || socket.exists().then_some(()))
            .expect("PgBouncer listens");
        pooler
    }

    /// The URL of a database behind it, given the URL of the same database in front of it.
    pub fn url(&self, direct: &str) -> String {
        let (path, _) = direct.split_once('?').expect("the test server is reached by a socket");
        format!("{path}?host={}&port={PORT}&user=postgres", self.directory.display())
    }

    /// The number of transactions that went through for a database.
    pub fn transactions(&self, database: &str) -> u64 {
        let admin = self.url("postgres:///pgbouncer?");
        let rows = psql(&admin, "SHOW STATS_TOTALS");
        let row = rows.lines().find(|row| row.split('|').next() == Some(database));
        row.and_then(|row| row.split('|').nth(1)?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
