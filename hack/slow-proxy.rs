//! Stands in front of a server and makes it far away: `slow-proxy SERVER MILLISECONDS BYTES_PER_SECOND`.
//!
//! Every answer begins so many milliseconds late, and no connection gets more bytes a second. Listens on a free port of
//! 127.0.0.1, which is printed. For `hack/lib/bench/registry.sh`.

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are passed on at once.
const PIECE: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [server, latency, rate] = arguments.as_slice() else {
        return Err("usage: slow-proxy SERVER MILLISECONDS BYTES_PER_SECOND".into());
    };
    let (latency, rate) = (Duration::from_millis(latency.parse()?), rate.parse::<f64>()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    for client in listener.incoming() {
        let (client, server) = (client?, TcpStream::connect(server)?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let is_asked = Arc::new(AtomicBool::new(false));
        let (questions, answers) = (Arc::clone(&is_asked), is_asked);
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || ask(from, to, &questions));
        thread::spawn(move || answer(server, client, &answers, latency, rate));
    }
    Ok(())
}

/// Passes on what the client says, at once.
fn ask(mut client: TcpStream, mut server: TcpStream, is_asked: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let length = client.read(&mut buffer)?;
        if length == 0 {
            return server.shutdown(Shutdown::Write);
        }
        is_asked.store(true, Ordering::SeqCst);
        server.write_all(&buffer[..length])?;
    }
}

/// Passes on what the server says, late and slowly.
fn answer(
    mut server: TcpStream,
    mut client: TcpStream,
    is_asked: &AtomicBool,
    latency: Duration,
    rate: f64,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut free = Instant::now();
    loop {
        let length = server.read(&mut buffer)?;
        if length == 0 {
            return client.shutdown(Shutdown::Both);
        }
        if is_asked.swap(false, Ordering::SeqCst) {
            free = Instant::now() + latency;
        }
        thread::sleep(free.saturating_duration_since(Instant::now()));
        client.write_all(&buffer[..length])?;
        // Time in which nothing was to be sent is not made up for, but for what a timer is late.
        free = free.max(Instant::now() - Duration::from_millis(5)) + Duration::from_secs_f64(length as f64 / rate);
    }
}
