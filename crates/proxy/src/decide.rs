//! A request's course: an answer of the load balancer's own, or a target group.

use crate::answer::Own;
use crate::forwarded::Incoming;
use crate::worker::{LocalGroup, View};
use routing::config::Action;
use routing::{Headers, RequestHead, action, head};
use std::net::IpAddr;
use std::rc::Rc;

/// What becomes of a request.
pub(crate) enum Course {
    Answer(Own),
    Forward(Rc<LocalGroup>),
}

/// What becomes of this request, by the rules in force.
pub(crate) fn course(view: &View, source: IpAddr, request: &dyn Incoming, headers: &dyn Headers) -> Course {
    if request.method() == "TRACE" {
        return Course::Answer(Own::error(405));
    }
    let (path, query) = match request.target().split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target(), None),
    };
    let head = RequestHead {
        method: request.method(),
        protocol: view.listener.protocol(),
        host: head::without_port(request.host()),
        port: view.listener.config.port,
        path,
        query,
        source,
        headers,
    };
    let decision = view.listener.table.route(&head);
    match decision.action {
        Action::FixedResponse(fixed) => Course::Answer(Own::fixed(fixed)),
        Action::Redirect(redirect) => Course::Answer(Own::redirect(redirect.status, action::location(redirect, &head))),
        Action::Forward(forward) => action::choose_group(forward, crate::clock::random() >> 8)
            .and_then(|group| view.groups.get(&group.target_group))
            .map_or_else(|| Course::Answer(Own::error(503)), |group| Course::Forward(Rc::clone(group))),
    }
}
