//! The head of a client's request, and where its body ends. What might be read in two ways is refused: whoever stands before us may
//! read it in the other (request smuggling, RFC 9112, section 11.2).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Uri, Version, header};
use httparse::EMPTY_HEADER;

use crate::{
    BodyEnd, HttpError,
    body::{ends_in_chunks, told_length},
    head::{HEADERS_USUAL, head_is_whole, headers, keeps_open, length},
};

/// Headers of a request that are read; more are refused.
const HEADERS_MAX: usize = 100;

/// The head of a request, and how its body ends.
#[derive(Debug)]
pub struct RequestHead {
    /// The head itself.
    pub request: Request<()>,
    /// Where the body ends.
    pub body: BodyEnd,
    /// Whether the client wants to ask on by the same connection.
    pub keeps_open: bool,
    /// Whether the client waits for a word before it sends the body (`Expect: 100-continue`).
    pub expects_continue: bool,
}

/// The head out of what was read, which holds the end of one, and what came behind it. Empty lines before it are read over; `None`: they were
/// all there was.
///
/// # Errors
/// When it is no request, or one that may be read in two ways.
pub fn take_request_head(read: &mut BytesMut) -> Result<Option<(RequestHead, Bytes)>, HttpError> {
    let empty = read
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    if empty > 0 {
        read.advance(empty);
        if !head_is_whole(read, 0) {
            return Ok(None);
        }
    }
    let mut rest = std::mem::take(read).freeze();
    let taken = match parse::<HEADERS_USUAL>(&rest) {
        Err(HttpError::TooManyHeaders) => parse::<HEADERS_MAX>(&rest)?,
        taken => taken?,
    };
    let Some((head, length)) = taken else {
        // What ends in an empty line is whole or wrong.
        return Err(HttpError::Line("the first line"));
    };
    rest.advance(length);
    Ok(Some((head, rest)))
}

/// Requests that come in these pieces one after another, read as a connection reads them: methods, targets and bodies, as far as they came.
///
/// # Errors
/// When one is none, its head is longer than `head_bytes_max`, or its body is not framed as it has to be.
pub fn read_requests(
    pieces: &[Bytes],
    head_bytes_max: usize,
) -> Result<Vec<(Method, Uri, Vec<u8>)>, HttpError> {
    let (mut read, mut requests) = (BytesMut::new(), Vec::new());
    let mut end = BodyEnd::Over;
    for piece in pieces {
        let mut before = read.len();
        read.extend_from_slice(piece);
        loop {
            if let Some((_, _, body)) = requests.last_mut()
                && !end.is_over()
            {
                let rest = end.read(&read, body)?;
                read = BytesMut::from(rest);
                before = 0;
            }
            if !end.is_over() {
                break;
            }
            if !head_is_whole(&read, before) {
                if read.len() > head_bytes_max {
                    return Err(HttpError::TooLong);
                }
                break;
            }
            let Some((head, rest)) = take_request_head(&mut read)? else {
                break;
            };
            let (parts, ()) = head.request.into_parts();
            requests.push((parts.method, parts.uri, Vec::new()));
            end = head.body;
            read = BytesMut::from(&rest[..]);
            before = 0;
        }
    }
    Ok(requests)
}

fn parse<const HEADERS: usize>(bytes: &Bytes) -> Result<Option<(RequestHead, usize)>, HttpError> {
    let mut lines = [EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    let Some(length) = length(request.parse(bytes))? else {
        return Ok(None);
    };
    Ok(Some((understand(bytes, &request)?, length)))
}

fn understand(bytes: &Bytes, read: &httparse::Request<'_, '_>) -> Result<RequestHead, HttpError> {
    let target = read.path.unwrap_or_default();
    let method = read.method.unwrap_or_default();
    let is_new = read.version == Some(1);
    let headers = headers(bytes, read.headers)?;
    let mut request = Request::new(());
    *request.method_mut() =
        Method::from_bytes(method.as_bytes()).map_err(|_| HttpError::Line("the method"))?;
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes()))
        .map_err(|_| HttpError::Line("the target"))?;
    *request.version_mut() = if is_new {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (is_new && hosts == 0) {
        return Err(HttpError::Line("one `host` has to be named"));
    }
    let body = body_of(&headers, is_new)?;
    let expects_continue = is_new
        && !body.is_over()
        && headers
            .get(header::EXPECT)
            .is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let keeps_open = keeps_open(&headers, is_new);
    *request.headers_mut() = headers;
    Ok(RequestHead {
        request,
        body,
        keeps_open,
        expects_continue,
    })
}

/// Where the body ends (RFC 9112, section 6.3).
fn body_of(headers: &HeaderMap, is_new: bool) -> Result<BodyEnd, HttpError> {
    let told = told_length(headers)?;
    let Some(in_chunks) = ends_in_chunks(headers) else {
        return Ok(match told {
            None | Some(0) => BodyEnd::Over,
            Some(length) => BodyEnd::Counted(length),
        });
    };
    let lines = headers.get_all(header::TRANSFER_ENCODING);
    let is_alone = lines.iter().all(|line| {
        line.as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    }) && lines.iter().count() == 1;
    if !in_chunks || !is_alone || !is_new {
        return Err(HttpError::Coding);
    }
    if told.is_some() {
        return Err(HttpError::Length);
    }
    Ok(BodyEnd::Chunked(crate::chunks::Chunks::default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<RequestHead, HttpError> {
        let mut read = BytesMut::from(text);
        Ok(take_request_head(&mut read)?.expect("whole").0)
    }

    fn with(lines: &str) -> Result<RequestHead, HttpError> {
        head(&format!("POST /v1 HTTP/1.1\r\nhost: x\r\n{lines}\r\n"))
    }

    #[test]
    fn a_head_says_where_its_body_ends_and_whether_the_connection_stays() {
        assert!(matches!(with("").unwrap().body, BodyEnd::Over));
        let counted = with("content-length: 5\r\nexpect: 100-Continue\r\n").unwrap();
        assert!(matches!(counted.body, BodyEnd::Counted(5)));
        assert!(counted.keeps_open && counted.expects_continue);
        let chunked = with("Transfer-Encoding: Chunked\r\nconnection: Close\r\n").unwrap();
        assert!(matches!(chunked.body, BodyEnd::Chunked(_)));
        assert!(!chunked.keeps_open && !chunked.expects_continue);
        assert!(
            !with("content-length: 0\r\nexpect: 100-continue\r\n")
                .unwrap()
                .expects_continue
        );
        let old = head("\r\n\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        assert!(old.keeps_open);
        assert!(!head("GET / HTTP/1.0\r\n\r\n").unwrap().keeps_open);
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        for (lines, error) in [
            (
                "content-length: 5\r\ncontent-length: 6\r\n",
                HttpError::Length,
            ),
            ("content-length: 5, 6\r\n", HttpError::Length),
            ("content-length: +5\r\n", HttpError::Length),
            ("content-length: -5\r\n", HttpError::Length),
            ("content-length: 0x5\r\n", HttpError::Length),
            ("content-length:\r\n", HttpError::Length),
            (
                "content-length: 5\r\ntransfer-encoding: chunked\r\n",
                HttpError::Length,
            ),
            ("transfer-encoding: gzip, chunked\r\n", HttpError::Coding),
            (
                "transfer-encoding: chunked, identity\r\n",
                HttpError::Coding,
            ),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                HttpError::Coding,
            ),
            ("transfer-encoding: xchunked\r\n", HttpError::Coding),
            ("host: y\r\n", HttpError::Line("one `host` has to be named")),
            ("a name : 1\r\n", HttpError::Line("a header's name")),
            (
                "transfer-encoding : chunked\r\n",
                HttpError::Line("a header's name"),
            ),
            ("x: 1\r\n folded\r\n", HttpError::Line("a header's name")),
        ] {
            assert_eq!(with(lines).expect_err(lines), error, "{lines}");
        }
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\nhost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET /\r\n\r\n",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            head(text).expect_err(text);
        }
    }

    #[test]
    fn many_headers_are_read_and_too_many_refused() {
        let many = with(&"x: 1\r\n".repeat(99)).unwrap();
        assert_eq!(many.request.headers().len(), 100);
        assert_eq!(
            with(&"x: 1\r\n".repeat(100)).unwrap_err(),
            HttpError::TooManyHeaders
        );
    }

    proptest! {
        #[test]
        fn requests_cut_anywhere_are_the_same(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5),
            lengths in prop::collection::vec(1_usize..30, 1..6),
            in_chunks: bool,
        ) {
            let mut wire = Vec::new();
            for body in &bodies {
                wire.extend_from_slice(b"\r\nPOST /a?b=c HTTP/1.1\r\nhost: x\r\n");
                if in_chunks {
                    wire.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                    for chunk in body.chunks(7) {
                        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                        wire.extend_from_slice(chunk);
                        wire.extend_from_slice(b"\r\n");
                    }
                    wire.extend_from_slice(b"0\r\n\r\n");
                } else {
                    wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
                    wire.extend_from_slice(body);
                }
            }
            let mut pieces = Vec::new();
            let mut rest = &wire[..];
            for length in lengths.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*length).min(rest.len()));
                pieces.push(Bytes::copy_from_slice(piece));
                rest = after;
            }
            let read = read_requests(&pieces, 1 << 10).unwrap();
            let read: Vec<Vec<u8>> = read.into_iter().map(|(_, _, body)| body).collect();
            prop_assert_eq!(read, bodies);
        }

        #[test]
        fn garbage_is_read_or_refused(start in prop::sample::select(vec!["", "POST / HTTP/1.1\r\nhost: x\r\n"]), garbage: Vec<u8>) {
            let bytes = [start.as_bytes(), &garbage, b"\r\n\r\n"].concat();
            let _read = read_requests(&[bytes.into()], 1 << 20);
        }
    }
}
