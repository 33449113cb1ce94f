//! A sign-out in one tab ends the streams and sockets of another.

use serde_json::json;

use crate::{demo::Demo, in_a_browser};

in_a_browser! {
    async fn sign_out_in_one_tab_ends_the_streams_and_sockets_of_another(browser) {
        let demo = Demo::start();
        demo.sign_in(&browser).await;
        let first = browser.tab().await;
        let second = browser.new_tab().await;
        browser.open(&demo.at("/healthz")).await;
        let open = "window.received = [];
            const stream = new EventSource('/stream');
            stream.addEventListener('ended', () => { stream.close(); received.push('stream ended'); });
            const socket = new WebSocket('/ws');
            socket.onclose = event => received.push(`socket closed with ${event.code}`);
            await Promise.all([stream, socket].map(live => new Promise(done => live.onopen = done)))";
        browser.run(open).await;
        // Both outlast the access token that they were opened with.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(browser.run("return received").await, json!([]));
        browser.switch_to(&first).await;
        browser.click("#logout").await;
        browser.until("document.querySelector('#signin:not([hidden])')").await;
        browser.switch_to(&second).await;
        browser.until("received.length === 2").await;
        let received = browser.run("return received.sort()").await;
        assert_eq!(received, json!(["socket closed with 4401", "stream ended"]));
        assert_eq!(browser.run("return (await fetch('/me')).status").await, json!(401));
    }
}
