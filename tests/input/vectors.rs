//! Throw-away keys, made once for these tests with `openssl genpkey`. They protect nothing, and must sign
//! nothing except tests.

/// THROW-AWAY. PKCS#8 version 1 (RFC 5208), as OpenSSL writes it.
pub(crate) const ED25519_V1: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. The same key in version 2 (RFC 5958), with its public key, as ring writes it.
pub(crate) const ED25519_V2: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MFECAQEwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ\n\
gSEA35XAMNdi4Trkjiddgc6pvg6ws2UUiBXtPxE8Biyka7g=\n\
-----END PRIVATE KEY-----\n";

/// The public key of both.
pub(crate) const ED25519_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEA35XAMNdi4Trkjiddgc6pvg6ws2UUiBXtPxE8Biyka7g=\n\
-----END PUBLIC KEY-----\n";

/// THROW-AWAY.
pub(crate) const P256: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgP35Kh2wySImQJniv\n\
wJ8uV87ozgbqygLRAJtGR9V9u62hRANCAASprqU3nElZJQwEnCYsx1dsaw3hVw+e\n\
SEkf+9VsbCNyvv3HRLOIwOiAm2ygxx844qj0vPwhGmkfl6NDE73WqVuV\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. The same key in SEC 1 form.
pub(crate) const P256_SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEID9+SodsMkiJkCZ4r8CfLlfO6M4G6soC0QCbRkfVfbutoAoGCCqGSM49\n\
AwEHoUQDQgAEqa6lN5xJWSUMBJwmLMdXbGsN4VcPnkhJH/vVbGwjcr79x0SziMDo\n\
gJtsoMcfOOKo9Lz8IRppH5ejQxO91qlblQ==\n\
-----END EC PRIVATE KEY-----\n";

/// The public key of both.
pub(crate) const P256_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqa6lN5xJWSUMBJwmLMdXbGsN4VcP\n\
nkhJH/vVbGwjcr79x0SziMDogJtsoMcfOOKo9Lz8IRppH5ejQxO91qlblQ==\n\
-----END PUBLIC KEY-----\n";

/// THROW-AWAY. Another curve.
pub(crate) const P384: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDD785PFPeUhauhzk6hZ\n\
Qi1ttLyot2zdWBLIYXd+Vpw1t8cBiB0Y7/zIxA05JWDz6A+hZANiAARfn2snRnbs\n\
1W3+MRtCDJ58gEhvBG8BA/ga+2FAGacU5CaGSsJUdbb49aAvzuCUzbPglLPj8eCD\n\
tdLHYgb8mhWzYQoFJ/QS55O/95hYzEH+U4798nbXa7ph5SnBB8NAb0M=\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. Another curve, with scalars of the same length.
pub(crate) const SECP256K1: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgmhyX844iOj9REHYuTg0y\n\
72ymeLh3UncMRG6V5yLK0wWhRANCAAQA6aBrjsflr7VDkodSbHqXEPEhuXkZeGAs\n\
8F0hYG6T/I3KYXDNjhQbF1MhPD+ukk9vYa253dxu4ZJKgaNmEXLS\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. Another curve.
pub(crate) const ED448: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MEcCAQAwBQYDK2VxBDsEOXicxjMpwDcD1r3qpwMkOIYM5PwVJLtkmdP71k+o+Hio\n\
B9rknvEEbT7bNlp43aI3dVL/uBr9IHRoHA==\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. For key agreement, not for signatures.
pub(crate) const X25519: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VuBCIEICjZ/hS1US9ZmnKelQkPaPM3WZYQQiMV6+UfGf7KZIxD\n\
-----END PRIVATE KEY-----\n";
