# SPDX-License-Identifier: Apache-2.0
"""Names of services that give out keys: a random value named after one (`abuseipdb: 3f9c…`) is a key of it.

The names are facts; which services exist is gathered from public directories of APIs and from the
rules of Betterleaks (MIT). Words that mean something else as often (`box`, `linear`, `square`) are
left out: their keys are found by their form, or where a word announces them.
"""

from ahocorasick_rs import BytesAhoCorasick

from onrecord.rules.words import listed

SERVICES = listed("""
    abbysale ably abstractapi abuseipdb accuweather activecampaign adafruit adobe adyen aeroworkflow aftership
    agora ahrefs airbrake airbyte aircall airtable airvisual aiven akamai alchemy alegra aletheia algolia alibaba
    alienvault aliyun allsports alphavantage amadeus ambee amplitude anthropic anypoint apacta apiary apideck
    apify apilayer apimatic apitemplate apollo appcues appdynamics appfollow appoptics appsflyer apptivo artsy
    asana assemblyai atera atlassian audd auddio autodesk autoklose automile avaza avazapersonal aviationstack
    aylien ayrshare backblaze bannerbear baremetrics baseapi baselinker beamer beebole besttime billomat bitbar
    bitcoinaverage bitfinex bitly bitmex bitrise bittrex blablabus blazemeter blitapp blogger bluesky bombbomb
    boostnote borgbase braintree branchio brandfetch brevo brightdata browserbase browserstack browshot bscscan
    bugherd bugsnag buildkite bulbul bulksms buttercms cafelo caflou calendarific calendly calorieninja campayn
    cannyio canva capsulecrm captaindata carboninterface cartesia cashboard caspio censys centralstationcrm
    cerebras cexio chartmogul chatbot chatfuel checio checklyhq checkvist cicero circleci clarifai clay clearbit
    clickhelp clicksend clicksendsms clickup cliengo clockify clockworksms closecrm cloudant cloudconvert
    cloudelements cloudflare cloudimage cloudinary cloudmersive cloudplan cloudsmith cloverly cloze clustdoc
    cockroachlabs codacy codeclimate codecov codemagic codequiry coderpad codesandbox cohere coinapi coinbase
    coinlayer coinlib collect2 commercejs companyhub composio configcat confluent contentful contentstack
    conversiontools convertapi convertkit convier couchbase countrylayer coveralls craftmypdf crossmint crowdin
    cryptocompare currencycloud currencyfreaks currencylayer currencyscoop currentsapi customerguru customerio
    cypress d7network dailyco dandelion databento databricks datadog datafire datagov datastax deadmansnitch
    debounce deepai deepgram deepl deepseek delighted deno deputy detectify detectlanguage dfuse diffbot
    diggernaut digitalocean discogs discord disqus dnscheck dnsimple dockerhub docparser documo docusign doppler
    dotdigital dotmailer dovico dreamstudio dronahq droneci dropbox duffel dwolla dynalist dynatrace dyspatch e2b
    eagleeyenetworks easyinsight easypost ebay ecostruxureit edamam edenai eightxeight elasticemail elevenlabs
    enablex enigma envoyapikey eraser etherscan ethplorer etsy eventbrite everhour exchangerateapi
    exchangeratesapi exportsdk extractorapi facebook faceplusplus falai fastforex fastly fastspring feedier
    fetchrss fibery figma fileio filestack finage financialmodelingprep findl finicity finnhub firebase fireworks
    fixerio fleetbase flickr flightapi flightlabs flightstats flowflu flutterwave fmfw formbucket formcraft
    formsite foursquare frameio freemius freshbooks freshdesk freshworks fulcrum fullstory fusebill fxmarket
    geckoboard gemini gengo geoapify geocode geocodify geocodio geoipifi getemail getemails getgeoapi getgist
    getresponse getsandbox giphy gitea gitter glassnode gocanvas gocardless godaddy goodday goodreads googlemaps
    gorgias grafana graphcms graphhopper greptile groovehq groq gtmetrix guardianapi gumroad gumshoe gyazo happi
    happyscribe hasura heatmapapi helcim helpcrunch helpscout hereapi heroku highnote holidayapi honeybadger
    honeycomb hostinger hubspot huggingface hunter hybiscus hyperbolic hypertrack iconfinder iexapis iexcloud
    imagekit imagga imgur impala infermedica influxdb infobip infomaniak infracost infura insightly instabot
    instamojo intercom interseller intrinio invoiceocean ip2location ipapi ipdata ipgeolocation ipify ipinfo
    ipinfodb ipquality ipregistry ipstack jfrog jiratoken jotform jsonbin jumpcloud jumpseller juro kagi kairos
    kaleyra kanbantool karmacrm keenio kickbox kimi kinde kkbox klaviyo klipfolio knapsackpro kontent kraken
    kucoin kylas lamini langfuse langsmith languagelayer lastfm launchdarkly leadfeeder lemlist lemonsqueezy
    lendflow lessannoyingcrm lexigram lichess lighton linearapi linemessaging linenotify linkedin linkpreview
    linode listennotes liveagent livestorm loadmill localise locationiq logentries loggly loginradius logzio
    lokalise looker loyverse luno macaddress madkudu magento mailboxlayer mailchimp mailerlite mailersend mailgun
    mailjet mailmodo mailsac mandrill mapbox mapillary mapquest marketstack mattermost mavenlink maxmind
    mediastack meistertask mem0 meraki mesibo messagebird metaapi metabase metrilo microsoft midtrans minimax miro
    mistral mite mixmax mixpanel mockaroo mongodb moonclerk moonshot moosend moralis mrticktock mux myfreshworks
    myintervals nasdaqdatalink netcore nethunt netlify neutrinoapi newrelic newsapi newscatcher newsdata nexmo
    nftport ngrok nicereply nightfall nimble nimbus nitro noticeable notion novita nozbe npm nvidia nylas nytimes
    oanda okta ollama omnisend onedesk onelogin onepagecrm onesignal onfido onwater oopspam openai opencagedata
    openrouter opensea openuv openvpn openweather openweathermap opsgenie optimizely ovh owlbot packagecloud
    paddle pagarme pagerduty pandadoc pandascore paperform paralleldots parsehub parsers parseur partnerstack
    paydirtapp paymo paymongo paypal paystack payu pdflayer pdfshift peopledatalabs perplexity persona pinata
    pinecone pinterest pipedream pipedrive pivotaltracker plaid planetscale planview planyo plausible plivo podio
    pollsapi poloniex polygon portainer postageapp postbacks posthog postman postmark powrbot prefect prismic
    privateai prodpad prospectcrm prospectio protocolsio proxycrawl pulumi purestake pushbullet pushover pypi qase
    quaderno qualaroo qubole questionpro quickmetrics rainforest rapidapi raven rawg razorpay reachmail rebrandly
    redis rentman repairshopr resend restpack restpackhtml retell rev ringcentral ritekit roaring rocketreach
    rollbar ronin rootly route4me rownd runpod runrunit salesblink salescookie salesflare salesforce salesloft
    salesmate sambanova samsara satismeter saucelabs scaleway scalingo scalr scrapeowl scraperapi scraperbox
    scraperio scrapestack scrapfly scrapingant scrapingbee screenshotapi screenshotlayer securitytrails selectpdf
    sendbird sendgrid sendinblue sentry serpapi serphouse serpstack serveravatar sheety sherpadesk shipday shippo
    shodan shopify shotstack shutterstock signable signalwire signaturit signupgenius sigopt simfin simplesat
    simplynoted simvoly sinch sirv siteleaf skrappio skybiometry slack smartling smartsheets smooch snipcart
    snowflake snyk sonar sonarcloud soundcloud sourcegraph sparkpost speechmatics splunk spoonacular spotify
    squarespace squareup squarup sslmate stackhawk statuscake statuspal stitchdata stockdata stockx stormboard
    stormglass storyblok storychief strava stripe stytch sugester sumologic supabase supernotes surveyanyplace
    surveybot surveysparrow survicate swiftype symbl tableau tailscale tallyfy tatum taxjar teamgate teamwork
    teamworkcrm teamworkdesk technicalanalysis tefter telegram telesign telnyx testingbot textmagic theoddsapi
    thinkific thousandeyes ticketmaster tickettailor tiingo timecamp timezoneapi tinypng tmetric todoist
    togetherai tokeet tomorrowio tomtom tradier transferwise transloadit travelpayouts travisci trello twelvedata
    twilio twitch twitter tyntec typeform typetalk ubidots uclassify unifyid unplugg unsplash upcdatabase uplead
    uploadcare upstage upstash uptimerobot upwave urlscan userflow userstack vagrantcloud vatlayer vbout vercel
    verimail veriphone versioneye viewneo vimeo virustotal visualcrossing voicegain voodoosms vouchery voyageai
    vpnapi vultr vyte wakatime walkscore wandb weatherapi weatherbit weatherstack weavy webex webflow webscraper
    webscraping websitepulse weightsandbiases wepay whoxy wistia wiz workato workos worksnaps worldcoinindex
    worldweather wrike xai xendit yandex yelp yext youneedabudget yousign youtube zapier zapierwebhook zendesk
    zendeskapi zenkit zenrows zenscrape zenserp zerobounce zerotier zipapi zipbooks zipcodeapi zipcodebase zoho
    zonka zonkafeedback zulip zuplo
""")
_NAMES = BytesAhoCorasick([name.encode() for name in SERVICES])


def named(lowered: bytes) -> bool:
    """Say whether the name of a service occurs in `lowered`, in small letters, if only as part of a word."""
    return bool(_NAMES.find_matches_as_indexes(lowered))
