// SPDX-License-Identifier: Apache-2.0
// An OpenID provider that we did not write, with one client that has no secret. Prints its issuer.
//
//     node provider.mjs FOLDER_OF_THE_PACKAGE KEYS_AS_JSON LIFE_OF_AN_ID_TOKEN_S
import { createServer } from 'node:http'

const [folder, keys, life] = process.argv.slice(2)
const { Provider } = await import(`${folder}/lib/index.js`)
const server = createServer()

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'onrecord-cli',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
      response_types: [],
      redirect_uris: [],
    }],
    features: { deviceFlow: { enabled: true }, revocation: { enabled: true }, devInteractions: { enabled: true } },
    jwks: JSON.parse(keys),
    rotateRefreshToken: true,
    ttl: { IdToken: Number(life), DeviceCode: 60, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
    cookies: { keys: ['of a test'] },
  })
  server.on('request', provider.callback())
  console.log(issuer)
})
