//! The load balancer's own answers, word for word as ALB's.

use crate::clock;
use routing::config::FixedResponse;

/// An answer of the load balancer's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

impl Own {
    /// An error's page.
    pub(crate) fn error(status: u16) -> Self {
        Self { status, content_type: Some("text/html".to_owned()), location: None, body: page(status) }
    }

    /// A redirect.
    pub(crate) fn redirect(status: u16, location: String) -> Self {
        Self { location: Some(location), ..Self::error(status) }
    }

    /// What a rule's action says.
    pub(crate) fn fixed(action: &FixedResponse) -> Self {
        // ALB names the character set of plain text
        let content_type = match action.content_type.as_deref() {
            None | Some("text/plain") => "text/plain; charset=utf-8",
            Some("text/html") => "text/html; charset=utf-8",
            Some(other) => other,
        };
        let content_type = (!action.body.is_empty()).then(|| content_type.to_owned());
        Self { status: action.status, content_type, location: None, body: action.body.clone() }
    }

    /// Adds it as HTTP/1.1.
    pub(crate) fn write(&self, out: &mut Vec<u8>, keep_alive: bool, with_body: bool) {
        line(out, "HTTP/1.1 ", &format!("{} {}", self.status, reason(self.status)));
        line(out, "Server: ", "awselb/2.0");
        out.extend_from_slice(b"Date: ");
        clock::write_date(out);
        out.extend_from_slice(b"\r\n");
        if let Some(content_type) = &self.content_type {
            line(out, "Content-Type: ", content_type);
        }
        if self.status != 204 {
            line(out, "Content-Length: ", &self.body.len().to_string());
        }
        line(out, "Connection: ", if keep_alive { "keep-alive" } else { "close" });
        if let Some(location) = &self.location {
            line(out, "Location: ", location);
        }
        out.extend_from_slice(b"\r\n");
        if with_body && self.status != 204 && self.status != 304 {
            out.extend_from_slice(self.body.as_bytes());
        }
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// `<html>…502 Bad Gateway…</html>`.
fn page(status: u16) -> String {
    let title = format!("{status} {}", reason(status));
    let title = title.trim_end();
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

/// The reason phrase of a status. 460 to 464 are ALB's own and have none.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        414 => "Request-URI Too Large",
        501 => "Not Implemented",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        408 => "Request Time-out",
        405 => "Not Allowed",
        302 => "Found",
        other => http::StatusCode::from_u16(other).ok().and_then(|code| code.canonical_reason()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_the_lengths_that_were_captured() {
        assert_eq!(page(502).len(), 122);
        assert_eq!(page(503).len(), 162);
        assert_eq!(page(301).len(), 134);
    }

    #[test]
    fn an_answer_is_written_with_its_headers_in_order() {
        let mut out = Vec::new();
        Own::redirect(301, "https://a:443/".to_owned()).write(&mut out, true, true);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 301 Moved Permanently\r\nServer: awselb/2.0\r\nDate: "), "{text}");
        assert!(text.contains("\r\nLocation: https://a:443/\r\n\r\n<html>"), "{text}");
        let mut out = Vec::new();
        Own::error(503).write(&mut out, false, false);
        assert!(String::from_utf8(out).unwrap().ends_with("Content-Length: 162\r\nConnection: close\r\n\r\n"));
    }
}
