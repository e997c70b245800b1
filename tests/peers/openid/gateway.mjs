// SPDX-License-Identifier: Apache-2.0
// A provider that we did not write, for what goes through a gateway: access tokens that are meant for one resource
// (RFC 8707, RFC 9068), for a person and for a client. Prints its issuer.
//
//     node gateway.mjs FOLDER_OF_THE_PACKAGE KEYS_AS_JSON SECRET_OF_THE_GATEWAY
//
// It knows no token exchange, but lets one add a grant: the part at the end that reads a caller's token and makes
// another one is ours. Who may ask, as which client, for which resource, and how tokens are made and signed is its own.
import { createServer } from 'node:http'

const [folder, keys, secret] = process.argv.slice(2)
const { Provider, errors } = await import(`${folder}/lib/index.js`)
const { createLocalJWKSet, jwtVerify } = await import(`${folder}/../jose/dist/webapi/index.js`)
const server = createServer()
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code'
const ACCESS = 'urn:ietf:params:oauth:token-type:access_token'

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const about = (resource) => ({
    scope: 'mcp files:read',
    audience: resource,
    accessTokenTTL: 300,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'RS256' } },
  })
  const client = { response_types: [], redirect_uris: [] }
  const provider = new Provider(issuer, {
    clients: [
      { ...client, client_id: 'agent', token_endpoint_auth_method: 'none', application_type: 'native', grant_types: [DEVICE] },
      { ...client, client_id: 'robot', client_secret: secret, grant_types: ['client_credentials'] },
      { ...client, client_id: 'gateway', client_secret: secret, grant_types: ['client_credentials', EXCHANGE] },
    ],
    scopes: ['openid', 'mcp', 'files:read'],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(ctx, resource) {
          if (resource.includes('forbidden')) throw new errors.InvalidTarget()
          return about(resource)
        },
      },
    },
    extraTokenClaims: (ctx, token) => (token.gty === 'exchange' ? { act: { sub: token.client.clientId } } : undefined),
    jwks: JSON.parse(keys),
    ttl: { DeviceCode: 60, Grant: 3600, Session: 3600, Interaction: 600 },
    cookies: { keys: ['of a test'] },
  })
  const shown = createLocalJWKSet({ keys: JSON.parse(keys).keys.map(({ kty, n, e, kid, alg }) => ({ kty, n, e, kid, alg })) })
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'scope', 'resource', 'audience']
  provider.registerGrantType(EXCHANGE, async (ctx) => {
    const { client, params } = ctx.oidc
    let read
    try {
      read = await jwtVerify(params.subject_token, shown, { issuer, typ: 'at+jwt' })
    } catch {
      throw new errors.InvalidRequest('the subject token does not hold')
    }
    if (params.resource.includes('forbidden')) throw new errors.InvalidTarget()
    const token = new provider.AccessToken({ client, accountId: read.payload.sub, gty: 'exchange', scope: params.scope })
    token.resourceServer = new provider.ResourceServer(params.resource, about(params.resource))
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: ACCESS,
      token_type: token.tokenType,
      expires_in: token.expiration,
      scope: token.scope,
    }
  }, parameters)
  server.on('request', provider.callback())
  console.log(issuer)
})
