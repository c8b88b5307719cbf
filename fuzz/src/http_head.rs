//! The proxy's HTTP/1.1: heads of requests and answers, and the bodies that follow.

use proxy::fuzz::{Request, answer, body, request};

/// Any bytes are a request or refused, however they arrive; what is sent on says the same to the next parser.
pub fn http_head(data: &[u8]) {
    if let Some(length) = answer(data) {
        assert!(length <= data.len(), "an answer longer than what came");
    }
    match request(data) {
        Ok(Some(whole)) => understood(data, &whole),
        Ok(None) => assert!(!matches!(request(&data[..data.len() / 2]), Ok(Some(_))), "a head that more bytes undo"),
        Err(status) => {
            assert!(matches!(status, 400 | 414 | 501 | 505), "refused with {status}");
            let mut longer = data.to_vec();
            longer.extend_from_slice(b"\r\n\r\n");
            assert!(request(&longer).is_err(), "a refused head that more bytes make good");
        }
    }
}

fn understood(data: &[u8], whole: &Request) {
    assert!(whole.length <= data.len(), "a head longer than what came");
    let plain = |text: &str| text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    assert!(plain(&whole.method) && plain(&whole.target) && plain(&whole.host), "control characters: {whole:?}");
    assert!(!whole.method.is_empty() && (whole.target.starts_with('/') || whole.target == "*"), "{whole:?}");
    for cut in [whole.length / 3, whole.length / 2, whole.length - 1] {
        assert_eq!(request(&data[..cut]), Ok(None), "the first {cut} bytes are not the beginning of the same head");
    }
    let alone = request(&data[..whole.length]);
    assert!(says_the_same(&alone, whole), "what follows the head changes it: {alone:?}, not {whole:?}");

    if let Ok(sent) = &whole.forwarded {
        let again = request(sent);
        let same = again.as_ref().is_ok_and(|again| {
            again.as_ref().is_some_and(|again| {
                let facts =
                    |request: &Request| (request.method.clone(), request.target.clone(), request.body, request.upgrade);
                again.length == sent.len() && facts(again) == facts(whole) && again.host == whole.host
            })
        });
        assert!(same, "{whole:?}\nis sent on as\n{}\nwhich reads\n{again:?}", sent.escape_ascii());
    }
    let rest = &data[whole.length..];
    let read = body(whole.body, rest, usize::MAX);
    assert_eq!(body(whole.body, rest, 1), read, "a body that is another where it arrives byte by byte");
    assert!(read.is_none_or(|(data, taken)| taken <= rest.len() && data.len() <= taken), "a body out of nothing");
}

/// All but what is sent on, which holds random numbers.
fn says_the_same(a: &Result<Option<Request>, u16>, b: &Request) -> bool {
    let Ok(Some(a)) = a else { return false };
    Request { forwarded: b.forwarded.clone(), ..a.clone() } == *b
}
