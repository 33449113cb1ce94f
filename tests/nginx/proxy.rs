//! An nginx process.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{client::Client, port::free_port};

/// An nginx process, killed on drop.
pub(crate) struct Nginx {
    process: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// In front of `instances`, with a common configuration and `settings` for the location.
    pub(crate) async fn before(instances: &[SocketAddr], settings: &str) -> Self {
        let program = std::env::var_os("TEST_NGINX").unwrap_or_else(|| {
            panic!("TEST_NGINX is not set: run this by tests/servers/nginx, which sets it")
        });
        for _ in 0..10 {
            let folder = tempfile::tempdir().expect("a folder");
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let conf = folder.path().join("nginx.conf");
            std::fs::write(&conf, configuration(folder.path(), address, instances, settings))
                .expect("a file");
            let mut process = Command::new(&program)
                .arg("-e")
                .arg(folder.path().join("log"))
                .arg("-c")
                .arg(conf)
                // A process group of its own, so that its workers can be killed with it.
                .process_group(0)
                .stderr(Stdio::null())
                .spawn()
                .expect("nginx");
            if listens(&mut process, address).await {
                return Self { process, address, _folder: folder };
            }
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            // Another process may have taken the port. Then another port is tried.
            assert!(log.contains("bind()"), "nginx did not start: {log}");
        }
        panic!("nginx found no port")
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _gone = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _gone = self.process.wait();
    }
}

fn configuration(folder: &Path, address: SocketAddr, instances: &[SocketAddr], settings: &str) -> String {
    let servers: Vec<_> = instances.iter().map(|instance| format!("server {instance};")).collect();
    let servers = servers.join(" ");
    let folder = folder.display();
    format!(
        "
        user root; # only if root starts it; otherwise ignored
        daemon off;
        worker_processes 1;
        pid {folder}/pid;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            proxy_cache_path {folder}/cache keys_zone=pages:1m;
            upstream app {{ {servers} }}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://app;
                    {settings}
                }}
            }}
        }}"
    )
}

/// Whether it began to listen. False if it exited.
async fn listens(process: &mut Child, address: SocketAddr) -> bool {
    for _ in 0..300 {
        if process.try_wait().expect("a child").is_some() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nginx did not listen within 6 s")
}
