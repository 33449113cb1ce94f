//! The `Cookie` header: names match byte for byte, next to any other cookies.

use axum::http::{HeaderValue, StatusCode};

use crate::world::{ACCESS, Answer, REFRESH, World};

/// The lines with `ACCESS` and `REFRESH` replaced by the legitimate cookies.
async fn get(world: &World, lines: &[&[u8]]) -> Answer {
    let lines: Vec<_> = lines.iter().map(|line| legitimate(world, line)).collect();
    world.get(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>()).await
}

fn legitimate(world: &World, line: &[u8]) -> Vec<u8> {
    let filled = replace(line, b"ACCESS", format!("{ACCESS}={}", world.legitimate.access).as_bytes());
    replace(&filled, b"REFRESH", format!("{REFRESH}={}", world.legitimate.refresh).as_bytes())
}

fn replace(line: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    match line.windows(what.len()).position(|window| window == what) {
        Some(at) => [&line[..at], by, &line[at + what.len()..]].concat(),
        None => line.to_vec(),
    }
}

#[tokio::test]
async fn both_cookies_are_found_on_any_line_and_at_any_position() {
    let world = World::new().await;
    let calls = world.store.calls();
    for lines in [
        &[&b"ACCESS; REFRESH"[..]][..],
        &[b"REFRESH; ACCESS"],
        &[b"ACCESS", b"REFRESH"],
        &[b"a=b", b"REFRESH", b"c=d", b"ACCESS; e=f"],
        &[b"ACCESS;REFRESH"],
        &[b";;; ;ACCESS;;"],
        &[b" \t ACCESS \t ; \t REFRESH\t"],
        &[b"ACCESS;"],
        &[b"", b"ACCESS", b""],
        &[b"=; ==; =a; a; a==b; ACCESS; ="],
    ] {
        assert_eq!(get(&world, lines).await, world.welcome, "{lines:?}");
    }
    for blanks in [" \t=\t ", "= ", "=\t", "\t=", " = "] {
        let spaced = format!("{ACCESS}{blanks}{}", world.legitimate.access);
        assert_eq!(get(&world, &[spaced.as_bytes()]).await, world.welcome, "{blanks:?}");
    }
    assert_eq!(world.store.calls(), calls);
}

#[tokio::test]
async fn malformed_neighbouring_cookies_hide_nothing() {
    let world = World::new().await;
    for neighbour in [
        &b"theme=\xff\xfe\x80"[..],
        b"\xff=\xff",
        b"q=\"a, b\"",
        b"q=\"unclosed",
        b"q=\"with\\\"quote\"",
        b"json={\"a\":[1,2]}",
        b"a b c",
        b"%=%zz%",
        b"$Version=1",
        b"x=,,,,",
        b"x=\\",
        b"long=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "é=ü".as_bytes(),
        b"tab=a\tb",
        b"__Host-acces",
        b"__Host-access",
        b"__Host-",
        b"=__Host-access",
    ] {
        for line in [[neighbour, b"; ACCESS"].concat(), [b"ACCESS; ", neighbour].concat()] {
            assert_eq!(get(&world, &[&line]).await, world.welcome, "{}", String::from_utf8_lossy(&line));
        }
        assert_eq!(get(&world, &[neighbour, b"ACCESS"]).await, world.welcome);
        assert_eq!(get(&world, &[neighbour]).await, world.anonymous);
    }
}

#[tokio::test]
async fn quotes_do_not_join_values_across_a_semicolon() {
    let world = World::new().await;
    // Browsers do not treat quotes specially: the semicolon ends the first cookie (RFC 6265bis, section
    // 5.6).
    assert_eq!(get(&world, &[b"q=\"a; ACCESS; b\""]).await, world.welcome);
    let access = &world.legitimate.access;
    for refused in [
        format!("{ACCESS}=\"{access}\""),
        format!("{ACCESS}=\"{access}"),
        format!("{ACCESS}='{access}'"),
        format!("\"{ACCESS}\"={access}"),
        format!("{ACCESS}={access}, other=1"),
        format!("a=b, {ACCESS}={access}"),
        format!("{ACCESS}:{access}"),
        format!("{ACCESS}=={access}"),
        format!("{ACCESS} {access}"),
    ] {
        assert_eq!(world.get(&[refused.as_bytes()]).await, world.anonymous, "{refused}");
    }
}

#[tokio::test]
async fn names_are_compared_byte_for_byte_and_never_decoded() {
    let world = World::new().await;
    let calls = world.store.calls();
    let rename = |name: &[u8]| {
        let [access, refresh] =
            [&world.legitimate.access, &world.legitimate.refresh].map(|value| value.as_bytes());
        let refresh_name = replace(name, b"access", b"refresh");
        [name, b"=", access, b"; ", &refresh_name, b"=", refresh].concat()
    };
    for name in [
        &b"__%48ost-access"[..],
        b"%5f%5fHost-access",
        b"%5F_Host-access",
        b"__Host%2Daccess",
        b"__Host-access%00",
        b"__Host-access%20",
        b"__host-access",
        b"__HOST-access",
        b"__Host-Access",
        b"__Host-access.",
        b"x__Host-access",
        b"_Host-access",
        b"__Host-access[]",
        b"$__Host-access",
        b"access",
        b"__Secure-access",
        b"\xa0__Host-access",
        b"__Host-access\xc2\xa0",
        b"\xef\xbb\xbf__Host-access",
        b"__Host\xe2\x80\x90access",
        b"a=__Host-access",
        b"path=/ __Host-access",
    ] {
        let line = rename(name);
        assert_eq!(world.get(&[&line]).await, world.anonymous, "{}", String::from_utf8_lossy(name));
        // Such names do not shadow the real ones either.
        let planted = [name, b"=evil; ACCESS"].concat();
        assert_eq!(get(&world, &[&planted]).await, world.welcome, "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(world.store.calls(), calls);
}

#[tokio::test]
async fn repeated_cookie_is_one_and_an_unverifiable_value_is_ignored() {
    let world = World::new().await;
    let calls = world.store.calls();
    let two: [&[&[u8]]; 3] =
        [&[b"ACCESS", b"ACCESS"], &[b"REFRESH; ACCESS", b"REFRESH"], &[b"ACCESS; x=y", b"ACCESS"]];
    for lines in two {
        assert_eq!(get(&world, lines).await, world.welcome);
    }
    for planted in ["x", "", "..", "\"\"", &world.legitimate.refresh] {
        for name in [ACCESS, REFRESH] {
            if name == REFRESH && planted == world.legitimate.refresh {
                continue;
            }
            let planted = format!("{name}={planted}");
            let planted = planted.as_bytes();
            let [before, after] =
                [[planted, b"; ACCESS; REFRESH"].concat(), [b"ACCESS; REFRESH; ", planted].concat()];
            for lines in [
                &[&before[..]][..],
                &[&after],
                &[planted, b"ACCESS; REFRESH"],
                &[b"REFRESH; ACCESS", planted],
            ] {
                assert_eq!(get(&world, lines).await, world.welcome, "{}", String::from_utf8_lossy(planted));
            }
        }
    }
    // Two valid values of two sessions are refused, even if one is repeated.
    let second = crate::world::sign_in(&world.app, "bob").await;
    let good = format!("{ACCESS}={}; {REFRESH}={}", second.access, second.refresh);
    assert_eq!(world.get(&[good.as_bytes()]).await.status, StatusCode::OK);
    assert_eq!(get(&world, &[b"ACCESS", good.as_bytes()]).await, world.anonymous);
    assert_eq!(get(&world, &[b"ACCESS", b"ACCESS", b"__Host-access=x", b"ACCESS"]).await, world.welcome);
    assert_eq!(world.get(&[b"__Host-access=x.y.z; __Host-access=y.z.x"]).await, world.anonymous);
    assert_eq!(world.store.calls(), calls + 1, "only bob's sign-in called the store");
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn only_64_kb_of_cookies_are_searched() {
    let world = World::new().await;
    let ours = legitimate(&world, b"ACCESS");
    let filler = |len: usize| [b"a=", &b"x".repeat(len - 2)[..]].concat();
    let room = 64 * 1024 - ours.len();
    assert_eq!(world.get(&[&filler(room), &ours]).await, world.welcome);
    assert_eq!(world.get(&[&ours, &filler(room)]).await, world.welcome);
    for lines in [
        &[&filler(room + 1)[..], &ours][..],
        &[&ours, &filler(room + 1)],
        &[&ours, &filler(1 << 20)],
        &[&[&ours[..], b"; ", &filler(1 << 20)].concat()],
        &[&filler(room), b"b=", &ours],
    ] {
        assert_eq!(world.get(lines).await, world.anonymous);
    }
    let many = vec![&b"a"[..]; 20_000];
    assert_eq!(world.get(&[&many.join(&b';')[..], b";", &ours]).await, world.welcome);
    assert_eq!(world.get(&[&b";".repeat(60_000)[..], &ours]).await, world.welcome);
    let short_lines: Vec<&[u8]> = vec![b"a=b"; 2000];
    assert_eq!(world.get(&[&short_lines[..], &[&ours]].concat()).await, world.welcome);
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn control_character_is_rejected_by_http_or_part_of_a_value() {
    let world = World::new().await;
    for control in (0..=31_u8).chain([127]) {
        let line = [format!("{ACCESS}={}", world.legitimate.access).as_bytes(), &[control], b"x"].concat();
        let reaches_us = HeaderValue::from_bytes(&line).is_ok();
        assert_eq!(reaches_us, control == b'\t', "{control}");
        if reaches_us {
            assert_eq!(world.get(&[&line]).await, world.anonymous);
        }
    }
    for line in [format!("{ACCESS}\t"), format!("\t{ACCESS}\t=\t"), format!("{ACCESS}=; {REFRESH}=")] {
        assert_eq!(world.get(&[line.as_bytes()]).await, world.anonymous);
    }
    world.still_serves_legitimate_clients().await;
}
