use super::*;

fn streams() -> Streams {
    Streams::open(&Home::Memory).expect("memory opens")
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.data).expect("text")).collect()
}

#[test]
fn records_are_read_by_time_then_arrival_both_ways() {
    let streams = streams();
    let record = |at, text: &str| (Timestamp(at), text.as_bytes().to_vec());
    let last = streams.append("a", vec![record(20, "c"), record(10, "a"), record(20, "d")]).wait_blocking();
    assert_eq!(last.expect("durable"), 3);
    streams.append("a", vec![record(10, "b")]).wait_blocking().expect("durable");
    streams.append("ab", vec![record(0, "other")]).wait_blocking().expect("durable");
    let all = streams.read("a", .., 10).expect("reads");
    assert_eq!(texts(&all), ["a", "b", "c", "d"]);
    let page = streams.read("a", (Bound::Excluded(all[1].position), Bound::Unbounded), 1).expect("reads");
    assert_eq!(texts(&page), ["c"], "the page after b");
    let back = streams.read_back("a", ..Position::at(Timestamp(20)), 10).expect("reads");
    assert_eq!(texts(&back), ["b", "a"]);
    let empty = streams.read("a", Position::at(Timestamp(30))..Position::at(Timestamp(5)), 10).expect("reads");
    assert_eq!(texts(&empty), [""; 0], "a range that ends before it starts");
    assert_eq!(streams.names("a").expect("reads"), ["a", "ab"]);
    assert_eq!(streams.stats("a").expect("reads").expect("exists").appended, 4);
    assert_eq!(streams.stats("b").expect("reads"), None);
}

#[test]
fn trimmed_and_deleted_records_are_gone_at_once() {
    let streams = streams();
    let many = (0..10_000).map(|at| (Timestamp(at), vec![0; 10])).collect();
    streams.append("a", many).wait_blocking().expect("durable");
    streams.trim("a", Timestamp(9_000)).wait_blocking().expect("durable");
    assert_eq!(streams.read("a", .., 1).expect("reads")[0].position.timestamp, Timestamp(9_000));
    streams.delete("a").wait_blocking().expect("durable");
    assert_eq!(streams.read("a", .., 1).expect("reads"), []);
    streams.append("a", vec![(Timestamp(1), vec![1])]).wait_blocking().expect("durable");
    assert_eq!(streams.read("a", .., 10).expect("reads").len(), 1, "a new stream of the name begins empty");
    while streams.file.reap().expect("reaps") {}
    assert_eq!(streams.read("a", .., 10).expect("reads").len(), 1, "reaping took from the living");
}
