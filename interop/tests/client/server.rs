//! Starts and stops the server under test (see CONTRACT.md): the one of this workspace, or what `SERVER_UNDER_TEST` names.

use std::{env, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const START: Duration = Duration::from_secs(20);

pub(crate) struct ServerUnderTest {
    child: Child,
    settings: Vec<(&'static str, String)>,
    pub(crate) port: u16,
}

impl ServerUnderTest {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (child, port) = launch(&settings, 0).await;
        Self { child, settings, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the server without a farewell.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Starts the server again on the port that it had.
    pub(crate) async fn start_again(&mut self) {
        (self.child, self.port) = launch(&self.settings, self.port).await;
    }
}

/// Whether the server is that of this workspace, and not one that checks the tests.
pub(crate) fn is_ours() -> bool {
    env::var_os("SERVER_UNDER_TEST").is_none()
}

/// Whether the server is python-socketio's, which is another implementation with habits of its own.
pub(crate) fn is_python() -> bool {
    env::var("SERVER_UNDER_TEST").is_ok_and(|path| path.ends_with(".py"))
}

async fn launch(settings: &[(&'static str, String)], port: u16) -> (Child, u16) {
    let path = env::var("SERVER_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_interop-server").into());
    let interop = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = match path.rsplit_once('.') {
        Some((_, "mjs")) => Command::new("node"),
        Some((_, "py")) => Command::new(interop.join(".venv/bin/python")),
        _ => Command::new(&path),
    };
    if path.ends_with(".mjs") || path.ends_with(".py") {
        command.arg(&path);
    }
    command.current_dir(interop).envs(settings.iter().map(|(name, value)| (name, value)));
    command.env("PORT", port.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let announced = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some(port) = line.strip_prefix("listening 127.0.0.1:") {
                return port.parse().expect("a port");
            }
        }
        panic!("{path} ended without announcing its port");
    };
    let port = timeout(START, announced).await.expect("it announces its port");
    // Whatever else it says must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, port)
}
