//! The smallest web server: answers each request with one line.
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

const ANSWER: &str = "hello from an image built by ireko\n";

fn main() {
    // As a container's first process it is deaf to signals it has no handler for: a number as its argument
    // makes it leave by itself after so many answers.
    let limit: Option<u32> = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    let listener = TcpListener::bind("0.0.0.0:8000").expect("port 8000 is free in a container of its own");
    let mut answered = 0;
    for stream in listener.incoming().flatten() {
        // A client that went away is no reason to stop serving the others.
        answered += u32::from(answer(stream).is_ok());
        if limit == Some(answered) {
            break;
        }
    }
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = ANSWER.len();
    write!(&stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{ANSWER}")
}
