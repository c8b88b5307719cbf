//! The distribution protocol, request by request.

#![allow(clippy::unwrap_used)]

mod world;

use blob::Digest;
use http::StatusCode;
use model::ecr::{CreateRepositoryRequest, DescribeImagesRequest, ImageIdentifier};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::{Clock, SimClock, Timestamp};
use world::{OCI_INDEX, OCI_MANIFEST, World, files, reader, root};

#[tokio::test]
async fn who_is_not_logged_in_is_asked_to() {
    let world = World::start().await;
    for login in ["", "root:secret"] {
        let reply = world.send_as(login, "GET", "/v2/", &[], "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert!(reply.header("www-authenticate").ends_with("/\",service=\"ecr.amazonaws.com\""));
        assert_eq!(reply.body, "Not Authorized\n");
    }
    let reply = world.send_as("AWS:forged.token", "GET", "/v2/", &[], "").await;
    assert_eq!((reply.status, reply.error().0.as_str()), (StatusCode::BAD_REQUEST, "DENIED"));
    assert_eq!(world.send("GET", "/v2/", &[], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_login_ends_after_twelve_hours() {
    let clock = SimClock::new(Timestamp(1_700_000_000_000));
    let world = World::start_in(tempfile::tempdir().unwrap(), Arc::new(clock.clone())).await;
    let login = world.login(root()).await;
    clock.advance(Duration::from_hours(12) - Duration::from_millis(1));
    assert_eq!(world.send_as(&login, "GET", "/v2/", &[], "").await.status, StatusCode::OK);
    clock.advance(Duration::from_millis(1));
    let reply = world.send_as(&login, "GET", "/v2/", &[], "").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.error().1, "Your authorization token has expired. Reauthenticate and try again.");
}

#[tokio::test]
async fn who_may_only_pull_cannot_push() {
    let world = World::start().await;
    world.create("app").await;
    world.push_image("app", "v1", b"layer").await;
    let login = world.login(reader()).await;
    assert_eq!(world.send_as(&login, "GET", "/v2/app/manifests/v1", &[], "").await.status, StatusCode::OK);
    let reply = world.send_as(&login, "POST", "/v2/app/blobs/uploads/", &[], "").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(
        reply.error().1,
        "User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ecr:InitiateLayerUpload on resource: \
         arn:aws:ecr:us-east-1:123456789012:repository/app because no identity-based policy allows the ecr:InitiateLayerUpload action"
    );
}

#[tokio::test]
async fn a_missing_repository_is_named() {
    let world = World::start().await;
    let reply = world.send("POST", "/v2/team/none/blobs/uploads/", &[], "").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let text = "The repository with name 'team/none' does not exist in the registry with id '123456789012'";
    assert_eq!(reply.error(), ("NAME_UNKNOWN".into(), text.into()));
}

#[tokio::test]
async fn a_blob_comes_in_chunks_and_goes_on_after_a_restart() {
    let world = World::start().await;
    world.create("app").await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let digest = Digest::of(&bytes);
    let begun = world.send("POST", "/v2/app/blobs/uploads/", &[], "").await;
    assert_eq!((begun.status, begun.header("range")), (StatusCode::ACCEPTED, "0-0"));
    let place = begun.header("location").to_owned();
    let first = [("content-range", "0-1999999"), ("content-type", "application/octet-stream")];
    let reply = world.send("PATCH", &place, &first, bytes[..2_000_000].to_vec()).await;
    assert_eq!((reply.status, reply.header("range")), (StatusCode::ACCEPTED, "0-1999999"));

    let reply = world.send("PATCH", &place, &[("content-range", "5-9")], "wrong").await;
    assert_eq!((reply.status, reply.header("range")), (StatusCode::RANGE_NOT_SATISFIABLE, "0-1999999"));

    let dir = world.end().await;
    let world = World::start_in(dir, Arc::new(controller::SystemClock)).await;
    let reply = world.send("GET", &place, &[], "").await;
    assert_eq!((reply.status, reply.header("range")), (StatusCode::NO_CONTENT, "0-1999999"));
    let path = format!("{place}?digest={digest}");
    let reply = world.send("PUT", &path, &[("content-range", "2000000-2999999")], bytes[2_000_000..].to_vec()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    assert_eq!(reply.header("docker-content-digest"), digest.as_str());
    let blob = reply.header("location").to_owned();
    let reply = world.send("GET", &blob, &[], "").await;
    assert!(reply.body == bytes, "the blob came back changed");
    let reply = world.send("GET", &blob, &[("range", "bytes=10-19")], "").await;
    assert_eq!((reply.status, reply.header("content-range")), (StatusCode::PARTIAL_CONTENT, "bytes 10-19/3000000"));
    assert_eq!(reply.body, bytes[10..20]);
    let reply = world.send("GET", &blob, &[("range", "bytes=3000000-")], "").await;
    assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let reply = world.send("HEAD", &blob, &[], "").await;
    assert_eq!((reply.status, reply.header("content-length")), (StatusCode::OK, "3000000"));
    assert_eq!(world.send("PUT", &path, &[], "").await.error().0, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_client_that_breaks_off_can_go_on_and_leaves_nothing_visible() {
    let world = World::start().await;
    world.create("app").await;
    let bytes = vec![7_u8; 4 << 20];
    let digest = Digest::of(&bytes);
    let place = world.send("POST", "/v2/app/blobs/uploads/", &[], "").await.header("location").to_owned();
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(world.login(root()).await)
    };
    let head = format!(
        "PUT {place}?digest={digest} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {encoded}\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..3 << 20]).await.unwrap();
    drop(stream);
    // What was sent arrives in its own time; until the server has seen the end, the upload is busy or short.
    let mut size;
    loop {
        let reply = world.send("GET", &place, &[], "").await;
        size = reply.header("range").split_once('-').unwrap().1.parse::<usize>().unwrap() + 1;
        let range = format!("{size}-{}", bytes.len() - 1);
        let path = format!("{place}?digest={digest}");
        let reply = world.send("PUT", &path, &[("content-range", &range)], bytes[size..].to_vec()).await;
        match reply.status {
            StatusCode::CREATED => break,
            StatusCode::CONFLICT | StatusCode::RANGE_NOT_SATISFIABLE => tokio::task::yield_now().await,
            other => panic!("{other}: {:?}", reply.body),
        }
    }
    let reply = world.send("GET", &format!("/v2/app/blobs/{digest}"), &[], "").await;
    assert!(reply.body == bytes, "the blob came back changed");
    assert_eq!(files(&world.dir.path().join("blobs/uploads")), 0);
}

#[tokio::test]
async fn wrong_content_is_refused_and_leaves_nothing() {
    let world = World::start().await;
    world.create("app").await;
    let digest = Digest::of(b"promised");
    let reply = world.send("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], "sent").await;
    assert_eq!((reply.status, reply.error().0.as_str()), (StatusCode::BAD_REQUEST, "DIGEST_INVALID"));
    assert_eq!(world.send("HEAD", &format!("/v2/app/blobs/{digest}"), &[], "").await.status, StatusCode::NOT_FOUND);
    let place = world.send("POST", "/v2/app/blobs/uploads/", &[], "").await.header("location").to_owned();
    assert_eq!(world.send("PUT", &place, &[], "x").await.error().0, "DIGEST_INVALID");
    assert_eq!(world.send("DELETE", &place, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(files(&world.dir.path().join("blobs")), 0);
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository_only_if_it_is_there() {
    let world = World::start().await;
    world.create("one").await;
    world.create("two").await;
    let digest = world.push_blob("one", b"shared").await;
    let path = format!("/v2/two/blobs/{digest}");
    assert_eq!(
        world.send("GET", &path, &[], "").await.status,
        StatusCode::NOT_FOUND,
        "read through a repository that lacks it"
    );
    let reply = world.send("POST", &format!("/v2/two/blobs/uploads/?mount={digest}&from=one"), &[], "").await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::CREATED, path.as_str()));
    assert_eq!(world.send("GET", &path, &[], "").await.body, "shared");
    let other = Digest::of(b"other");
    for from in ["one", "none"] {
        let reply = world.send("POST", &format!("/v2/two/blobs/uploads/?mount={other}&from={from}"), &[], "").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "an upload must begin instead");
    }
}

#[tokio::test]
async fn a_manifest_that_names_missing_content_is_refused() {
    let world = World::start().await;
    world.create("app").await;
    let mut manifest = world.manifest_of("app", b"layer").await;
    let missing = Digest::of(b"missing");
    let before = files(&world.dir.path().join("blobs"));
    manifest["layers"][0]["digest"] = json!(missing);
    let reply =
        world.send("PUT", "/v2/app/manifests/v1", &[("content-type", OCI_MANIFEST)], manifest.to_string()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let (code, message) = reply.error();
    assert_eq!(code, "MANIFEST_BLOB_UNKNOWN");
    assert!(message.starts_with(&format!("Layers with digests '[{missing}]' required for pushing image")), "{message}");
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": missing, "size": 3},
    ]});
    let reply = world.send("PUT", "/v2/app/manifests/v1", &[("content-type", OCI_INDEX)], index.to_string()).await;
    assert_eq!(reply.error().0, "MANIFEST_BLOB_UNKNOWN");
    for (media_type, body) in [(OCI_MANIFEST, "{"), ("text/plain", "{}"), (OCI_INDEX, r#"{"schemaVersion":2}"#)] {
        let reply = world.send("PUT", "/v2/app/manifests/v1", &[("content-type", media_type)], body).await;
        assert_eq!((reply.status, reply.error().0.as_str()), (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"), "{body}");
    }
    assert_eq!(files(&world.dir.path().join("blobs")), before, "a refused manifest was kept");
    let reply =
        world.send("PUT", "/v2/app/manifests/v1", &[("content-type", OCI_MANIFEST)], vec![b' '; (4 << 20) + 1]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.send("GET", "/v2/app/manifests/v1", &[], "").await.error().0, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn an_image_is_pushed_pulled_and_deleted() {
    let world = World::start().await;
    world.create("app").await;
    let (reply, digest) = world.push_image("app", "v1", b"layer").await;
    assert_eq!((reply.status, reply.header("docker-content-digest")), (StatusCode::CREATED, digest.as_str()));
    for reference in ["v1", digest.as_str()] {
        let reply = world.send("GET", &format!("/v2/app/manifests/{reference}"), &[], "").await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, OCI_MANIFEST));
        assert_eq!(Digest::of(&reply.body), digest);
    }
    let reply = world.send("HEAD", "/v2/app/manifests/v1", &[], "").await;
    assert!(reply.body.is_empty() && reply.header("content-length").parse::<usize>().unwrap() > 0);
    // Pushed again as it is: nothing happens, and nothing is wrong.
    assert_eq!(world.push_image("app", "v1", b"layer").await.0.status, StatusCode::CREATED);
    let (_, second) = world.push_image("app", "v1", b"other layer").await;
    let reply = world.send("HEAD", "/v2/app/manifests/v1", &[], "").await;
    assert_eq!(reply.header("docker-content-digest"), second.as_str(), "the tag must have moved");
    let input = DescribeImagesRequest { repository_name: "app".into(), ..Default::default() };
    let details = world.call(ecr::handlers().describe_images, input).await.unwrap().image_details.unwrap();
    assert_eq!(
        details.iter().filter(|detail| detail.image_tags.is_none()).count(),
        1,
        "the first must be left untagged"
    );
    assert_eq!(
        world.send("DELETE", &format!("/v2/app/manifests/{second}"), &[], "").await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(world.send("GET", "/v2/app/manifests/v1", &[], "").await.status, StatusCode::NOT_FOUND);
    let reply =
        world.send("PUT", &format!("/v2/app/manifests/{second}"), &[("content-type", OCI_MANIFEST)], "{}").await;
    assert_ne!(reply.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_immutable_tag_stays() {
    let world = World::start().await;
    let input = CreateRepositoryRequest {
        repository_name: "app".into(),
        image_tag_mutability: Some("IMMUTABLE".into()),
        ..Default::default()
    };
    world.call(ecr::handlers().create_repository, input).await.unwrap();
    let (_, first) = world.push_image("app", "v1", b"one").await;
    let (reply, _) = world.push_image("app", "v1", b"two").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let text = "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.";
    assert_eq!(reply.error(), ("TAG_INVALID".into(), text.into()));
    let reply = world.send("HEAD", "/v2/app/manifests/v1", &[], "").await;
    assert_eq!(reply.header("docker-content-digest"), first.as_str());
}

#[tokio::test]
async fn an_image_that_an_index_lists_cannot_go_before_it() {
    let world = World::start().await;
    world.create("app").await;
    let (_, child) = world.push_image("app", "amd64", b"layer").await;
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": child, "size": 3, "platform": {"os": "linux", "architecture": "amd64"}},
    ]})
    .to_string();
    let list = Digest::of(index.as_bytes());
    let reply = world.send("PUT", "/v2/app/manifests/latest", &[("content-type", OCI_INDEX)], index).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
    let reply = world.send("DELETE", &format!("/v2/app/manifests/{child}"), &[], "").await;
    let text = format!("Requested image referenced by manifest list: [{list}]");
    assert_eq!(reply.error(), ("UNSUPPORTED".into(), text));

    let view = world.ecr.store().view();
    let host = &world.ecr.config().host;
    let text = format!("{host}/app");
    let reference = ecr::query::parse(&text, &types::Scope::default(), host).unwrap();
    let image = ecr::query::image(&view, world.ecr.blobs(), &reference, &text, "amd64").unwrap();
    assert_eq!((image.digest, image.manifest_digest), (list.clone(), child.clone()));
    let missing = ecr::query::image(&view, world.ecr.blobs(), &reference, &text, "s390x");
    assert!(matches!(missing, Err(ecr::query::PullError::NoPlatform(_))));

    for digest in [list, child] {
        let reply = world.send("DELETE", &format!("/v2/app/manifests/{digest}"), &[], "").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn tags_are_listed_in_pages_and_referrers_by_type() {
    let world = World::start().await;
    world.create("app").await;
    let mut manifest = world.manifest_of("app", b"layer").await;
    let subject = Digest::of(manifest.to_string().as_bytes());
    for tag in ["b", "a", "c"] {
        let path = format!("/v2/app/manifests/{tag}");
        world.send("PUT", &path, &[("content-type", OCI_MANIFEST)], manifest.to_string()).await;
    }
    let reply = world.send("GET", "/v2/app/tags/list?n=2", &[], "").await;
    assert_eq!(reply.json(), json!({"name": "app", "tags": ["a", "b"]}));
    assert_eq!(reply.header("link"), "</v2/app/tags/list?n=2&last=b>; rel=\"next\"");
    let reply = world.send("GET", "/v2/app/tags/list?n=2&last=b", &[], "").await;
    assert_eq!((reply.json()["tags"].clone(), reply.headers.get("link")), (json!(["c"]), None));

    manifest["subject"] = json!({"mediaType": OCI_MANIFEST, "digest": subject, "size": 1});
    manifest["artifactType"] = json!("application/x.signature");
    let text = manifest.to_string();
    let signature = Digest::of(text.as_bytes());
    let path = format!("/v2/app/manifests/{signature}");
    let reply = world.send("PUT", &path, &[("content-type", OCI_MANIFEST)], text).await;
    assert_eq!(reply.header("oci-subject"), subject.as_str());
    let path = format!("/v2/app/referrers/{subject}");
    let reply = world.send("GET", &path, &[], "").await;
    assert_eq!(reply.json()["manifests"][0]["digest"], json!(signature));
    let reply = world.send("GET", &format!("{path}?artifactType=other"), &[], "").await;
    assert_eq!((reply.json()["manifests"].clone(), reply.header("oci-filters-applied")), (json!([]), "artifactType"));
}

#[tokio::test]
async fn what_nothing_names_is_collected_after_its_grace() {
    let clock = SimClock::new(Timestamp(1_700_000_000_000));
    let world = World::start_in(tempfile::tempdir().unwrap(), Arc::new(clock.clone())).await;
    world.create("app").await;
    let (_, kept) = world.push_image("app", "v1", b"kept").await;
    let (_, gone) = world.push_image("app", "v2", b"gone").await;
    let orphan = world.push_blob("app", b"orphan").await;
    world.send("DELETE", &format!("/v2/app/manifests/{gone}"), &[], "").await;
    let before = ecr::controller::collect(&world.ecr).await.unwrap();
    assert_eq!(before.blobs, 0, "all of it is young");
    clock.advance(Duration::from_hours(2));
    let collected = ecr::controller::collect(&world.ecr).await.unwrap();
    let still = |digest: &Digest| world.ecr.blobs().size(digest).unwrap().is_some();
    // The collector may have run by itself in between; what counts is what is there.
    assert!(collected.blobs <= 3);
    assert!(
        still(&kept) && still(&Digest::of(b"kept")) && !still(&gone) && !still(&orphan) && !still(&Digest::of(b"gone"))
    );
    assert_eq!(world.send("GET", "/v2/app/manifests/v1", &[], "").await.status, StatusCode::OK);
    let login = world.login(root()).await;
    let path = format!("/v2/app/blobs/{orphan}");
    assert_eq!(world.send_as(&login, "HEAD", &path, &[], "").await.status, StatusCode::NOT_FOUND);
    assert!(clock.now() > Timestamp(1_700_000_000_000));
}

#[tokio::test]
async fn nonsense_gets_an_error_and_nothing_else() {
    let world = World::start().await;
    world.create("app").await;
    for (method, path) in [
        ("GET", "/v2/../../etc/passwd"),
        ("GET", "/v2/app/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd"),
        ("PATCH", "/v2/app/blobs/uploads/..%2f..%2fstore"),
        ("PUT", "/v2/app/manifests/%2e%2e"),
        ("POST", "/v2/APP/blobs/uploads/"),
        ("POST", "/v2/app/blobs/uploads/?mount=sha256:1&from=app"),
        ("DELETE", "/v2/app/tags/list"),
        ("BREW", "/v2/app/manifests/v1"),
        ("GET", "/v2/app/tags/list?n=-1"),
    ] {
        let reply = world.send(method, path, &[], "x").await;
        assert!(reply.status.is_client_error(), "{method} {path}: {}", reply.status);
    }
    let id = ImageIdentifier::default();
    let input = model::ecr::BatchGetImageRequest {
        repository_name: "app".into(),
        image_ids: vec![id, ImageIdentifier { image_digest: Some("sha256:x".into()), image_tag: None }],
        ..Default::default()
    };
    let failures = world.call(ecr::handlers().batch_get_image, input).await.unwrap().failures.unwrap();
    let codes: Vec<_> = failures.iter().filter_map(|failure| failure.failure_code.as_deref()).collect();
    assert_eq!(codes, ["MissingDigestAndTag", "InvalidImageDigest"]);
}

#[tokio::test]
async fn a_download_address_needs_no_login_and_opens_one_layer() {
    let world = World::start().await;
    world.create("app").await;
    world.push_image("app", "v1", b"layer").await;
    let input = model::ecr::GetDownloadUrlForLayerRequest {
        repository_name: "app".into(),
        layer_digest: Digest::of(b"layer").to_string(),
        ..Default::default()
    };
    let url = world.call(ecr::handlers().get_download_url_for_layer, input).await.unwrap().download_url.unwrap();
    let path = &url[url.find("/v2/").unwrap()..];
    assert_eq!(world.send_as("", "GET", path, &[], "").await.body, "layer");
    let other = path.replace(Digest::of(b"layer").as_str(), Digest::of(b"x").as_str());
    assert!(world.send_as("", "GET", &other, &[], "").await.status.is_client_error());
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("401 Unauthorized"), "{answer}");
}

#[tokio::test]
async fn who_comes_from_a_vpc_is_sent_to_the_layer_bucket() {
    let world = World::start().await;
    world.create("team/app").await;
    world.push_image("team/app", "v1", b"layer").await;
    let inside = world.open_door(gateway::Door::Internet { host: [192, 0, 2, 1].into() }).await;
    let login = world.login(root()).await;
    let blob = format!("/v2/team/app/blobs/{}", Digest::of(b"layer"));
    // The machine's own users cannot reach that bucket.
    assert_eq!(world.send_as(&login, "GET", &blob, &[], "").await.body, "layer");
    let reply = world.send_to(inside, &login, "GET", &blob, &[]).await;
    assert_eq!(reply.status, StatusCode::TEMPORARY_REDIRECT);
    let host = "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com";
    let target = reply.header("location").strip_prefix(&format!("http://{host}")).expect("a place in the bucket");
    let get = async |target: &str, headers: &[(&str, &str)]| {
        let headers = [&[("host", host)], headers].concat();
        world.send_to(inside, "", "GET", target, &headers).await
    };
    let reply = get(target, &[]).await;
    assert_eq!((reply.status, &*reply.body), (StatusCode::OK, &b"layer"[..]));
    let reply = get(target, &[("range", "bytes=1-2")]).await;
    assert_eq!((reply.status, &*reply.body), (StatusCode::PARTIAL_CONTENT, &b"ay"[..]));
    let (path, token) = target.split_once('?').unwrap();
    let other = path.replace(Digest::of(b"layer").hex(), Digest::of(b"x").hex());
    for (target, status, code) in [
        (path.to_owned(), StatusCode::FORBIDDEN, "AccessDenied"),
        (format!("{path}?token=x"), StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        (format!("{other}?{token}"), StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        (format!("/?{token}"), StatusCode::FORBIDDEN, "AccessDenied"),
        (format!("{}?{token}", path.replace("123456789012", "210987654321")), StatusCode::NOT_FOUND, "NoSuchKey"),
    ] {
        let reply = get(&target, &[]).await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, status, "{target}: {text}");
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{target}: {text}");
    }
}
