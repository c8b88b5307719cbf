//! What an action comes to for one request: the group that a forward takes, the URL that a redirect names.

use crate::config::{Forward, Redirect, WeightedGroup};
use crate::head::RequestHead;

/// The group that takes a request, by weight; `random` is any number. `None` if no group has any weight.
pub fn choose_group(forward: &Forward, random: u64) -> Option<&WeightedGroup> {
    if let [only] = forward.groups.as_slice() {
        return (only.weight > 0).then_some(only);
    }
    let total: u64 = forward.groups.iter().map(|group| u64::from(group.weight)).sum();
    let mut point = random.checked_rem(total)?;
    forward.groups.iter().find(|group| {
        let inside = point < u64::from(group.weight);
        point = point.wrapping_sub(u64::from(group.weight));
        inside
    })
}

/// The `Location` of a redirect. As ALB's it always names the port.
pub fn location(redirect: &Redirect, head: &RequestHead<'_>) -> String {
    let fill = |template: &str| fill(template, head);
    let query = fill(&redirect.query);
    let mut out = format!(
        "{}://{}:{}{}",
        fill(&redirect.protocol).to_ascii_lowercase(),
        fill(&redirect.host),
        fill(&redirect.port),
        fill(&redirect.path)
    );
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    // a value from the request must not begin another header
    out.retain(|c| !c.is_control());
    out
}

fn fill(template: &str, head: &RequestHead<'_>) -> String {
    let mut out = String::with_capacity(template.len() + head.path.len());
    let mut rest = template;
    while let Some(at) = rest.find("#{") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find('}') else { break };
        match &rest[2..end] {
            "protocol" => out.push_str(head.protocol.scheme()),
            "host" => out.push_str(head.host),
            "port" => out.push_str(&head.port.to_string()),
            "path" => out.push_str(head.path.strip_prefix('/').unwrap_or(head.path)),
            "query" => out.push_str(head.query.unwrap_or_default()),
            _ => out.push_str(&rest[..=end]),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Protocol;

    fn head<'a>(headers: &'a [(&'a str, &'a str); 0], path: &'a str, query: Option<&'a str>) -> RequestHead<'a> {
        RequestHead {
            method: "GET",
            protocol: Protocol::Http,
            host: "example.com",
            port: 80,
            path,
            query,
            source: [10, 0, 0, 1].into(),
            headers,
        }
    }

    #[test]
    fn a_redirect_to_https_names_port_443() {
        let redirect = Redirect { protocol: "HTTPS".to_owned(), port: "443".to_owned(), ..Redirect::default() };
        assert_eq!(location(&redirect, &head(&[], "/a/b", Some("x=1"))), "https://example.com:443/a/b?x=1");
        assert_eq!(location(&redirect, &head(&[], "/", None)), "https://example.com:443/");
    }

    #[test]
    fn parts_may_be_mixed_with_text() {
        let redirect = Redirect {
            host: "www.#{host}".to_owned(),
            path: "/new/#{path}#{x}#{".to_owned(),
            query: "#{query}&from=#{port}".to_owned(),
            ..Redirect::default()
        };
        assert_eq!(location(&redirect, &head(&[], "/p", Some("q"))), "http://www.example.com:80/new/p#{x}#{?q&from=80");
    }

    #[test]
    fn weights_share_all_numbers() {
        let forward = Forward {
            groups: [("a", 1), ("b", 0), ("c", 3)]
                .map(|(name, weight)| WeightedGroup { target_group: name.to_owned(), weight })
                .to_vec(),
            stickiness_seconds: None,
        };
        let taken: Vec<_> = (0..4).map(|n| choose_group(&forward, n).unwrap().target_group.as_str()).collect();
        assert_eq!(taken, ["a", "c", "c", "c"]);
        let none = Forward { groups: vec![], stickiness_seconds: None };
        assert!(choose_group(&none, 5).is_none());
    }
}
