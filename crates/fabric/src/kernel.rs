//! The steps of a plan, carried out. Runs on a thread of its own, which goes from namespace to namespace.

use crate::{
    Error,
    netlink::{filter, message::Message, route, socket::Socket},
    reset::LOCK,
    settings::Settings,
    watch::{Ear, Ears},
};
use netplan::{Cable, End, Place, PlanParts, RouteAction, Step};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    poll::{PollTimeout, poll},
    sched::{CloneFlags, setns, unshare},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    net::IpAddr,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// What separates a cable's name from the word for its far end, in a device's alias.
const FAR: &str = " far";

/// The alias of a cable's near or far end. It says after a crash which cable a device is of.
pub(crate) fn alias(cable: &str, far: bool) -> String {
    if far { format!("{cable}{FAR}") } else { cable.to_owned() }
}

/// A cable's name out of an alias, and whether it is the far end.
pub(crate) fn read_alias(alias: &str) -> (&str, bool) {
    alias.strip_suffix(FAR).map_or((alias, false), |name| (name, true))
}

/// What the kernel says when something to be removed is not there.
const GONE: &[Errno] = &[Errno::ENODEV, Errno::ESRCH, Errno::ENOENT, Errno::EADDRNOTAVAIL];

/// A namespace that is open, with its sockets.
struct Space {
    file: File,
    route: Option<Socket>,
    filter: Option<Socket>,
    indices: HashMap<String, u32>,
    /// Hears what others do here.
    ear: Option<Ear>,
    /// The filter's number after our last change of it.
    generation: Option<u32>,
}

impl Space {
    fn new(file: File) -> Self {
        Self { file, route: None, filter: None, indices: HashMap::new(), ear: None, generation: None }
    }
}

/// The host's namespaces, from the fabric's point of view.
pub(crate) struct Kernel {
    directory: PathBuf,
    spaces: BTreeMap<Place, Space>,
    /// Where the thread is by now.
    here: Option<Place>,
    settings: Settings,
}

/// A message to a place, with what it is for and the refusals that mean that it is done already.
struct Request<'a> {
    message: Message,
    step: &'a Step,
    fine: &'static [Errno],
}

impl Kernel {
    /// `directory` holds the namespaces' mounts; `host` is the host's own namespace.
    pub(crate) fn new(directory: PathBuf, host: File) -> Self {
        let mut spaces = BTreeMap::new();
        spaces.insert(Place::Host, Space::new(host));
        Self { directory, spaces, here: None, settings: Settings::default() }
    }

    /// Forgets where the thread is: it is another one.
    pub(crate) fn on_new_thread(&mut self) {
        self.here = None;
    }

    /// Where the namespaces' mounts are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Closes what belongs to namespaces in which no cable has its near end: attachments come and go with their tasks.
    pub(crate) fn keep_routers(&mut self, plan: &PlanParts) {
        self.spaces.retain(|place, _| plan.begins_links(place));
    }

    /// Listens in all of the plan's routers and on the host from now on, and forgets what was heard of our own doing.
    pub(crate) fn listen(&mut self, ears: &Ears, host_link: &str) -> Result<(), Error> {
        let deaf: Vec<Place> =
            self.spaces.iter().filter(|(_, space)| space.ear.is_none()).map(|(place, _)| place.clone()).collect();
        for place in deaf {
            let space = self.enter(&place)?;
            space.ear = Some(ears.listen_here().map_err(|e| Error::kernel("listening", &place, e))?);
        }
        // Its number there tells what concerns us; without the device there is nothing to hear of.
        let _ = self.index(&Place::Host, host_link);
        self.disturbed(ears, host_link).map(|_| ())
    }

    /// Whether somebody else changed something since this was asked last.
    pub(crate) fn disturbed(&mut self, ears: &Ears, host_link: &str) -> Result<bool, Error> {
        let mut disturbed = ears.lost_files();
        for (place, space) in &mut self.spaces {
            let only = if *place == Place::Host { space.indices.get(host_link).copied() } else { None };
            if let Some(ear) = &space.ear {
                // As long as our device is not known there, nothing on the host can be of it.
                disturbed |= ear.heard(only) && (*place != Place::Host || only.is_some());
            }
            if let (Some(known), Some(socket)) = (space.generation, &mut space.filter) {
                let now = filter::generation(socket).map_err(|e| Error::kernel("reading the filter", place, e))?;
                disturbed |= now != Some(known);
            }
        }
        Ok(disturbed)
    }

    /// Closes everything but the host's own: a namespace may be another one than it was.
    pub(crate) fn forget(&mut self) {
        self.spaces.retain(|place, _| *place == Place::Host);
        self.spaces.values_mut().for_each(|space| space.indices.clear());
    }

    fn enter(&mut self, place: &Place) -> Result<&mut Space, Error> {
        if let Place::Namespace(name) = place
            && !self.spaces.contains_key(place)
        {
            let path = self.directory.join(name);
            let file = File::open(&path).map_err(|e| Error::file(&path, e))?;
            self.spaces.insert(place.clone(), Space::new(file));
        }
        let space = self.spaces.get_mut(place).ok_or(Error::Broken)?;
        if self.here.as_ref() != Some(place) {
            setns(&space.file, CloneFlags::CLONE_NEWNET)
                .map_err(|e| Error::kernel("entering the namespace", place, e.into()))?;
            self.here = Some(place.clone());
        }
        Ok(space)
    }

    /// The place's socket for links and routes.
    pub(crate) fn route(&mut self, place: &Place) -> Result<&mut Socket, Error> {
        let space = self.enter(place)?;
        if space.route.is_none() {
            let socket = Socket::route().map_err(|e| Error::kernel("opening a netlink socket", place, e))?;
            space.route = Some(socket);
        }
        space.route.as_mut().ok_or(Error::Broken)
    }

    fn index(&mut self, place: &Place, link: &str) -> Result<u32, Error> {
        self.route(place)?;
        let space = self.spaces.get_mut(place).ok_or(Error::Broken)?;
        if let Some(index) = space.indices.get(link) {
            return Ok(*index);
        }
        let socket = space.route.as_mut().ok_or(Error::Broken)?;
        let index = route::link_index(socket, link)
            .map_err(|e| Error::kernel(format!("looking up device {link}"), place, e))?;
        space.indices.insert(link.to_owned(), index);
        Ok(index)
    }

    /// Does all steps, in order.
    pub(crate) fn carry_out(&mut self, steps: &[Step]) -> Result<(), Error> {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let mut done = 1;
            match step {
                Step::CreateNamespace(name) => self.create(name)?,
                Step::RemoveNamespace(name) => self.remove(name)?,
                Step::Set { place, path, value } => self.set(place, path, value)?,
                Step::Filter { place, changes } => self.filter(place, filter::batch(changes), changes.len())?,
                Step::AddCable(..) => {
                    done = rest.iter().take_while(|step| matches!(step, Step::AddCable(..))).count();
                    self.add_cables(&rest[..done])?;
                }
                _ => {
                    let place = place_of(step);
                    done = rest.iter().take_while(|step| place.is_some() && place_of(step) == place).count().max(1);
                    if let Some(place) = place {
                        let place = place.clone();
                        self.configure(&place, &rest[..done])?;
                    }
                }
            }
            rest = &rest[done..];
        }
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), Error> {
        let path = self.directory.join(name);
        make_mount_point(&path)?;
        self.here = None;
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::kernel("creating a network namespace", name, e.into()))?;
        mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|e| Error::kernel("keeping a network namespace", name, e.into()))?;
        let place = Place::Namespace(name.to_owned());
        let refused = self
            .route(&place)?
            .each(&[route::bring_up("lo", None)])
            .map_err(|e| Error::kernel("bringing up the loopback", name, e))?;
        refuse(refused.first().map(|r| r.errno), || "bringing up the loopback".to_owned(), name)
    }

    fn remove(&mut self, name: &str) -> Result<(), Error> {
        let place = Place::Namespace(name.to_owned());
        self.spaces.remove(&place);
        if self.here.as_ref() == Some(&place) {
            // A thread within would keep it alive.
            self.enter(&Place::Host)?;
        }
        remove_mount(&self.directory.join(name))
    }

    fn set(&mut self, place: &Place, path: &str, value: &str) -> Result<(), Error> {
        self.enter(place)?;
        let failed = |e| Error::kernel(format!("writing /proc/sys/net/{path}"), place, e);
        match self.settings.write(path, value) {
            // A kernel without IPv6 needs no setting to be without it, and connection tracking is lenient or is not.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !path.starts_with("ipv4/") => Ok(()),
            other => other.map_err(failed),
        }
    }

    fn filter(&mut self, place: &Place, batch: Vec<Message>, changes: usize) -> Result<(), Error> {
        let doing = || format!("changing the packet filter ({changes} changes)");
        let space = self.enter(place)?;
        if space.filter.is_none() {
            space.filter = Some(Socket::filter().map_err(|e| Error::kernel(doing(), place, e))?);
        }
        let socket = space.filter.as_mut().ok_or(Error::Broken)?;
        let refused = socket.together(batch).map_err(|e| Error::kernel(doing(), place, e))?;
        space.generation = filter::generation(socket).map_err(|e| Error::kernel(doing(), place, e))?;
        let first = refused.first();
        refuse(first.map(|r| r.errno), || format!("{}, message {}", doing(), first.map_or(0, |r| r.index)), place)
    }

    fn add_cables(&mut self, steps: &[Step]) -> Result<(), Error> {
        let mut made: BTreeMap<&Place, Vec<Request<'_>>> = BTreeMap::new();
        let mut up: BTreeMap<&Place, Vec<Request<'_>>> = BTreeMap::new();
        for step in steps {
            let Step::AddCable(name, cable) = step else { continue };
            self.enter(&cable.far.place)?;
            let far = self.spaces.get(&cable.far.place).map_or(-1, |space| space.file.as_raw_fd());
            let message = route::add_cable(cable, far);
            made.entry(&cable.near.place).or_default().push(Request { message, step, fine: &[] });
            for (end, far) in [(&cable.near, false), (&cable.far, true)] {
                self.forget_index(end);
                let message = route::bring_up(&end.link, Some(&alias(name, far)));
                up.entry(&end.place).or_default().push(Request { message, step, fine: &[] });
            }
        }
        for (place, requests) in made.into_iter().chain(up) {
            self.send(place, requests)?;
        }
        Ok(())
    }

    fn forget_index(&mut self, end: &End) {
        if let Some(space) = self.spaces.get_mut(&end.place) {
            space.indices.remove(&end.link);
        }
    }

    fn configure(&mut self, place: &Place, steps: &[Step]) -> Result<(), Error> {
        let mut requests = Vec::new();
        if *place == Place::Host {
            self.allow_ipv6(steps)?;
        }
        let removed = steps.iter().filter(|step| matches!(step, Step::RemoveCable(_))).count();
        for step in steps {
            if let Some(request) = self.request(place, step)? {
                requests.push(request);
            }
        }
        let last = steps.iter().rev().find(|step| matches!(step, Step::RemoveCable(_)));
        if let Some(step) = last.filter(|_| removed > 1) {
            for request in &mut requests {
                if let Step::RemoveCable(cable) = request.step {
                    request.message = route::doom(&cable.near.link);
                }
            }
            requests.push(Request { message: route::remove_doomed(), step, fine: GONE });
        }
        self.send(place, requests)?;
        let added = steps.iter().filter_map(|step| match step {
            Step::AddAddress(_, address) => Some(address.ip).filter(IpAddr::is_ipv6),
            _ => None,
        });
        added.into_iter().try_for_each(|ip| self.await_address(place, ip))
    }

    /// The kernel puts an IPv6 address into use some time after it took it, and drops what comes for it before.
    fn await_address(&mut self, place: &Place, ip: IpAddr) -> Result<(), Error> {
        // So many milliseconds at most: one that is never in use is seen by those who use it.
        for _ in 0..500 {
            if route::is_local(self.route(place)?, ip) {
                break;
            }
            let _ = poll(&mut [], PollTimeout::from(1u8));
        }
        Ok(())
    }

    /// Has our device on the host take the IPv6 addresses that it is to get, whatever the host does with its others.
    fn allow_ipv6(&mut self, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            if let Step::AddAddress(place, address) = step
                && address.ip.is_ipv6()
            {
                let of_link = |setting: &str| format!("ipv6/conf/{}/{setting}", address.link);
                self.set(place, &of_link("addr_gen_mode"), "1")?;
                self.set(place, &of_link("disable_ipv6"), "0")?;
            }
        }
        Ok(())
    }

    /// The message for a step on links, addresses or routes; none if what it removes cannot be there.
    fn request<'a>(&mut self, place: &Place, step: &'a Step) -> Result<Option<Request<'a>>, Error> {
        const THERE: &[Errno] = &[Errno::EEXIST];
        let link = match step {
            Step::RemoveNeighbour(_, neighbour) | Step::AddNeighbour(_, neighbour) => Some(&neighbour.link),
            Step::RemoveAddress(_, address) | Step::AddAddress(_, address) => Some(&address.link),
            Step::RemoveRoute(_, route) | Step::AddRoute(_, route) => match &route.action {
                RouteAction::Link { link, .. } => Some(link),
                RouteAction::Blackhole => None,
            },
            _ => None,
        };
        let removes = matches!(step, Step::RemoveNeighbour(..) | Step::RemoveAddress(..) | Step::RemoveRoute(..));
        let index = match link.map(|link| self.index(place, link)).transpose() {
            Err(Error::Kernel { source, .. }) if removes && source.raw_os_error() == Some(libc::ENODEV) => {
                return Ok(None);
            }
            other => other?,
        };
        let device = index.unwrap_or(0);
        let (message, fine) = match step {
            Step::CheckSource(_, link) => (route::check_source(link, true), GONE),
            Step::AllowAnySource(_, link) => (route::check_source(link, false), &[][..]),
            Step::RemoveRule(_, rule) => (route::change_rule(false, rule), GONE),
            Step::AddRule(_, rule) => (route::change_rule(true, rule), THERE),
            Step::RemoveRoute(_, r) => (route::change_route(false, r.table, r.destination, &r.action, index), GONE),
            Step::AddRoute(_, r) => (route::change_route(true, r.table, r.destination, &r.action, index), THERE),
            Step::RemoveNeighbour(_, n) => (route::change_neighbour(false, device, n.ip, n.mac), GONE),
            Step::AddNeighbour(_, n) => (route::change_neighbour(true, device, n.ip, n.mac), THERE),
            Step::RemoveAddress(_, a) => (route::change_address(false, device, a.ip, a.prefix), GONE),
            Step::AddAddress(_, a) => (route::change_address(true, device, a.ip, a.prefix), THERE),
            Step::RemoveCable(cable) => {
                self.forget_index(&cable.near);
                self.forget_index(&cable.far);
                (route::remove_link(&cable.near.link), GONE)
            }
            _ => return Ok(None),
        };
        Ok(Some(Request { message, step, fine }))
    }

    fn send(&mut self, place: &Place, requests: Vec<Request<'_>>) -> Result<(), Error> {
        let messages: Vec<Message> = requests.iter().map(|request| request.message.clone()).collect();
        let refused =
            self.route(place)?.each(&messages).map_err(|e| Error::kernel("changing links and routes", place, e))?;
        for refusal in refused {
            let Some(request) = requests.get(refusal.index) else { continue };
            if !request.fine.contains(&refusal.errno) {
                return Err(Error::kernel(format!("{:?}", request.step), place, refusal.errno.into()));
            }
        }
        Ok(())
    }

    /// Removes a device that is of no cable.
    pub(crate) fn remove_stray(&mut self, place: &Place, link: &str) -> Result<(), Error> {
        let refused = self
            .route(place)?
            .each(&[route::remove_link(link)])
            .map_err(|e| Error::kernel("removing a stray device", place, e))?;
        let errno = refused.first().map(|r| r.errno).filter(|errno| *errno != Errno::ENODEV);
        refuse(errno, || format!("removing the stray device {link}"), place)
    }
}

fn refuse(errno: Option<Errno>, doing: impl FnOnce() -> String, place: impl ToString) -> Result<(), Error> {
    errno.map_or(Ok(()), |errno| Err(Error::kernel(doing(), place, errno.into())))
}

/// Where a step on links, addresses or routes is done.
fn place_of(step: &Step) -> Option<&Place> {
    match step {
        Step::CheckSource(place, _)
        | Step::RemoveRule(place, _)
        | Step::RemoveRoute(place, _)
        | Step::RemoveNeighbour(place, _)
        | Step::RemoveAddress(place, _)
        | Step::AddAddress(place, _)
        | Step::AddNeighbour(place, _)
        | Step::AddRoute(place, _)
        | Step::AddRule(place, _)
        | Step::AllowAnySource(place, _) => Some(place),
        Step::RemoveCable(Cable { near, .. }) => Some(&near.place),
        _ => None,
    }
}

/// Makes the file that a namespace is mounted on: one more name of the file that says who holds the instance, since a disk's file
/// system may look long for a number for a new file.
fn make_mount_point(path: &Path) -> Result<(), Error> {
    let existing = path.parent().and_then(Path::parent).map(|run| run.join(LOCK));
    match existing.map(|existing| fs::hard_link(existing, path)) {
        Some(Ok(())) => Ok(()),
        // File systems know no such names, or only so many; or the file is there.
        _ => File::create(path).map(|_| ()).map_err(|e| Error::file(path, e)),
    }
}

/// Takes a namespace's mount away, in every mount namespace that has a copy.
pub(crate) fn remove_mount(path: &Path) -> Result<(), Error> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not a mount, or not there: a crash came between.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(Error::file(path, errno.into())),
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file(path, e)),
        _ => Ok(()),
    }
}
