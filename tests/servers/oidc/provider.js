// An OpenID Connect provider for tests: `node provider.js PORT` serves `http://127.0.0.1:PORT`.
//
// Its sign-in page takes any name with any password. Clients register themselves (`POST /reg`), since the ports of
// tests are not known before. The client `example` is for the examples, which listen on port 3000.
import Provider from "oidc-provider";

const port = process.argv[2];
const issuer = `http://127.0.0.1:${port}`;
const seconds = (name, fallback) => Number(process.env[name] ?? fallback);
const example = process.env.OIDC_EXAMPLE ?? "http://localhost:3000";

const locked = new Set();

const page = (title, body) => `<!doctype html><meta charset=utf-8><title>${title}</title><h1>${title}</h1>${body}`;

const provider = new Provider(issuer, {
    clients: [{
        client_id: "example",
        client_secret: "a-secret-of-the-example-and-not-more",
        redirect_uris: [`${example}/auth/sign-in/callback`],
        post_logout_redirect_uris: [`${example}/auth/signed-out`],
        backchannel_logout_uri: `${example}/auth/backchannel-logout`,
        backchannel_logout_session_required: true,
        grant_types: ["authorization_code", "refresh_token"],
    }],
    clientDefaults: { grant_types: ["authorization_code", "refresh_token"], response_types: ["code"] },
    scopes: ["openid", "email", "profile", "offline_access"],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: false,
    cookies: { keys: ["a key of the tests"] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
        AccessToken: seconds("OIDC_ACCESS_TTL", 60),
        AuthorizationCode: seconds("OIDC_CODE_TTL", 30),
        IdToken: seconds("OIDC_ID_TOKEN_TTL", 300),
        RefreshToken: seconds("OIDC_REFRESH_TTL", 600),
        Grant: 3600,
        Interaction: 600,
        Session: seconds("OIDC_SESSION_TTL", 3600),
    },
    features: {
        backchannelLogout: { enabled: true },
        claimsParameter: { enabled: true },
        devInteractions: { enabled: true },
        registration: { enabled: true },
        revocation: { enabled: true },
        rpInitiatedLogout: {
            enabled: true,
            logoutSource: async (ctx, form) => {
                ctx.body = page("Sign out at the provider?", `${form}
                    <button id=yes form="op.logoutForm" value=yes name=logout>Yes</button>
                    <button id=no form="op.logoutForm">No</button>`);
            },
            postLogoutSuccessSource: async ctx => { ctx.body = page("Signed out at the provider", ""); },
        },
    },
    renderError: async (ctx, out) => {
        ctx.type = "html";
        ctx.body = page("The provider refuses", JSON.stringify(out).replaceAll("<", "&lt;"));
    },
    findAccount: async (ctx, sub) => locked.has(sub) ? undefined : ({
        accountId: sub,
        claims: async () => ({
            sub,
            name: sub[0].toUpperCase() + sub.slice(1),
            email: `${sub}@example.com`,
            email_verified: true,
        }),
    }),
    // The provider's own protection refuses loopback addresses, which tests listen on.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
});

// `POST /test/lock/NAME` locks an account: its tokens are no longer good.
provider.use(async (ctx, next) => {
    const name = /^\/test\/lock\/(\w+)$/.exec(ctx.path)?.[1];
    if (ctx.method !== "POST" || !name) return next();
    locked.add(name);
    ctx.status = 204;
});
provider.on("server_error", (ctx, error) => console.error(error));
provider.on("backchannel.error", (ctx, error, client) => console.error("back-channel", client.clientId, error.message));

provider.listen(Number(port), "127.0.0.1", () => console.log(`listening on ${issuer}`));
