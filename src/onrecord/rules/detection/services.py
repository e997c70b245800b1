# SPDX-License-Identifier: Apache-2.0
"""Names of services that give out keys: a random value named after one (`abuseipdb: 3f9c…`) is a key of it.

The names are facts; which services exist is gathered from public directories of APIs and from the
rules of Betterleaks (MIT). Words that mean something else as often (`box`, `linear`, `square`) are
left out: their keys are found by their form, or where a word announces them.
"""

from onrecord.rules.words import listed

SERVICES = listed("""
    abbysale abstractapi abuseipdb accuweather ably activecampaign acuity adafruit adobe adyen aeroworkflow affinity
    aftership agora ahrefs airbrake airbyte aircall airtable airvisual aiven akamai alchemy alegra aletheia algolia
    alibaba aliyun alienvault allsports alphavantage amadeus ambee amplitude anthropic anypoint apacta apiary apideck
    apify apilayer apimatic apitemplate apollo appdynamics appcues appfollow appoptics appsflyer apptivo artifactory
    artsy asana assemblyai atera atlassian audd auddio autodesk autoklose automile avaza avazapersonal aviationstack
    aylien ayrshare backblaze bannerbear baremetrics baseapi baselinker beamer beebole besttime billomat bitbar bitbucket
    bitcoinaverage bitfinex bitly bitmex bitrise bittrex blablabus blazemeter blitapp blogger bluesky bombbomb boostnote
    borgbase braintree brandfetch branchio brightdata brevo browserbase browserstack browshot bscscan bugherd bugsnag
    buildkite bulbul bulksms buttercms cafelo caflou calendarific calendly calorieninja campayn cannyio canva capsulecrm
    captaindata carboninterface cartesia cashboard caspio censys centralstationcrm cerebras cexio chartmogul chatbot
    chatfuel checio checklyhq checkout checkvist cicero circleci clarifai clay clearbit clickhelp clicksend clicksendsms
    clickup cliengo clockify clockworksms closecrm cloudant cloudconvert cloudelements cloudflare cloudimage cloudinary
    cloudmersive cloudplan cloudsmith cloverly cloze clustdoc cockroachlabs codacy codeclimate codecov codemagic
    codequiry coderpad codesandbox cohere coinapi coinbase coinlayer coinlib collect2 column commercejs commodities
    companyhub composio configcat confluent contentful contentstack conversiontools convertapi convertkit convier
    couchbase countrylayer courier coveralls craftmypdf crossmint crowdin cryptocompare currencycloud currencyfreaks
    currencylayer currencyscoop currentsapi customerguru customerio cypress d7network dailyco dandelion databento
    databricks datadog datafire datagov datastax deadmansnitch debounce deepai deepgram deepl deepseek delighted
    demio deno deputy detectify detectlanguage dfuse diffbot diggernaut digitalocean discogs discord disqus ditto
    dnscheck dnsimple docker dockerhub docparser documo docusign doppler dotdigital dotmailer dovico dreamstudio droneci
    dronahq dropbox duffel dwolla dyspatch dynalist dynatrace e2b eagleeyenetworks easyinsight easypost ebay ecostruxureit
    edamam edenai eightxeight elasticemail elevenlabs enablex enigma envoy envoyapikey eraser etherscan ethplorer
    etsy everhour eventbrite exchangerateapi exchangeratesapi exportsdk extractorapi facebook faceplusplus falai fastforex
    fastly fastspring feedier fetchrss fibery figma fileio filestack finage financialmodelingprep findl finicity finnhub
    firebase fireworks fixerio flatio fleetbase flickr flightapi flightlabs flightstats float flowflu flutterwave fmfw
    formbucket formcraft formio formsite foursquare frameio freemius freshbooks freshdesk freshworks front fulcrum fullstory
    fusebill fxmarket geckoboard gemini gengo geoapify geocode geocodify geocodio geoipifi getemail getemails getgeoapi
    getgist getresponse getsandbox ghost giphy gitea github gitlab gitter glassnode gocanvas gocardless godaddy goodday
    goodreads googlemaps gorgias grafana graphcms graphhopper greptile groovehq groq gtmetrix guardianapi gumroad
    gumshoe gyazo happi happyscribe harvest hasura heatmapapi helpcrunch helpscout helcim hereapi heroku highnote hive
    holidayapi holistic honeybadger honeycomb hookdeck hostinger host hubspot huggingface humanity hunter hyperbolic hybiscus
    hypertrack iconfinder iexapis iexcloud imagekit imagga impala imgur infermedica influxdb infobip infomaniak infracost
    infura insightly instabot instamojo instantly intercom interseller intrinio invoiceocean ip2location ipapi ipdata
    ipgeolocation ipify ipinfodb ipinfo ipquality ipregistry ipstack jfrog jiratoken jotform jsonbin jumpcloud jumpseller
    juro kagi kairos kaleyra kanban kanbantool karmacrm keenio kickbox kimi kinde kkbox klaviyo klipfolio knapsackpro
    kontent kraken kucoin kylas lamini langfuse langsmith languagelayer lark lastfm launchdarkly leadfeeder lemlist
    lemonsqueezy lendflow lessannoyingcrm lexigram lichess lighton linearapi linemessaging linenotify linkedin linkpreview
    linode listennotes liveagent livestorm loadmill localise locationiq loginradius logentries loggly logzio lokalise
    looker loyverse luno macaddress madkudu magento magnetic mailboxlayer mailchimp mailerlite mailersend mailgun mailjet
    mailmodo mailsac mandrill manifest mapbox mapquest mapillary marketstack mattermost mavenlink maxmind mediastack
    meistertask mem0 meraki mesibo messagebird metaapi metabase metrilo microsoft midtrans minimax miro mistral mite
    mixmax mixpanel mockaroo moderation monday mongodb moonclerk moonshot moosend moralis mrticktock mux myfreshworks
    myintervals nasdaqdatalink nethunt netcore netlify neutrinoapi newrelic newsapi newscatcher newsdata nexmo nftport
    ngrok nicereply nightfall nimble nimbus nitro noticeable notion novita novu npm nozbe nvidia nylas nytimes oanda
    okta ollama omnisend onedesk onelogin onepagecrm onesignal onfido onwater oopspam openai opencagedata openrouter
    opensea openuv openvpn openweather openweathermap opsgenie optimizely orbit ovh owlbot packagecloud paddle pagarme
    pagerduty pandadoc pandascore paperform paralleldots parsehub parsers parseur partnerstack pastebin paydirtapp
    paymo paymongo paypal paystack payu pdflayer pdfshift peopledatalabs perplexity persona pinata pinecone pinterest
    pipedream pipedrive pivotaltracker pixabay plaid planetscale plausible planview planyo plivo pocket podio polar
    pollsapi poloniex polygon portainer postageapp postbacks posthog postman postmark powrbot prefect prismic privacy
    privateai prodpad prospectcrm prospectio protocolsio proxycrawl pulumi purestake pushbullet pusher pushover pypi
    qase qualaroo quaderno qubole questionpro quickmetrics raindrop rainforest ramp rapidapi raven rawg razorpay
    readme reachmail realtime rebrandly recharge recurly redis refiner render rentman repairshopr replicate resend
    restpack restpackhtml retell rev ringcentral ritekit roaring rocketreach rollbar ronin rootly route4me rownd runpod
    runrunit salesblink salescookie salesflare salesforce salesloft salesmate sambanova samsara satismeter saucelabs
    scaleway scalingo scalr scrapeowl scraperapi scraperbox scraperio scrapestack scrapfly scrapingant scrapingbee
    screenshotapi screenshotlayer scrutinizer securitytrails segment selectpdf semaphore sendbird sendgrid sendinblue
    sentiment sentry serpapi serphouse serpstack serveravatar sheety sherpadesk shipday shippo shodan shopify shortcut
    shotstack shutterstock signable signalwire signaturit signupgenius sigopt simfin simplesat simplynoted simvoly
    sinch sirv siteleaf skrappio skybiometry slack smartling smartsheets smooch snipcart snowflake snyk sonar sonarcloud
    soundcloud sourcegraph sparkpost speechmatics splunk spoonacular spotify square squarespace squareup squarup sslmate
    stackhawk statuscake statuspage statuspal stitchdata stockdata stockx stormboard stormglass storyblok storychief
    strava streak stripe stripo stytch sugester sumologic supabase supernotes surge surveyanyplace surveybot surveysparrow
    survicate swell swiftype symbl tableau tailscale tallyfy tatum taxjar teamgate teamwork teamworkcrm teamworkdesk
    technicalanalysis tefter telegram telesign telnyx terraform testingbot textmagic theoddsapi thinkific thousandeyes
    ticketmaster tickettailor tiingo timebox timecamp timezoneapi tinypng tmetric todoist tokeet tomorrowio tomtom
    togetherai tradier transferwise transloadit travelpayouts travisci trello tru twelvedata twilio twist twitch twitter
    tyntec typeform typetalk ubidots uclassify unifyid unplugg unsplash upcdatabase uplead uploadcare upstage upstash
    uptimerobot upwave urlscan userflow userstack vagrantcloud vatlayer vbout vercel verifier verimail veriphone versioneye
    vimeo viewneo virustotal visualcrossing voicegain voodoosms voyageai vouchery vpnapi vultr vyte wakatime walkscore
    wandb weatherapi weatherbit weatherstack weavy webex webflow webscraper webscraping websitepulse weightsandbiases wepay
    whoxy wistia wiz workato workos worksnaps worldcoinindex worldweather wrike xai xendit yandex yelp yext youneedabudget
    yousign youtube zapier zapierwebhook zendesk zendeskapi zenkit zenrows zenscrape zenserp zerobounce zerotier zipapi
    zipbooks zipcodeapi zipcodebase zoho zonka zonkafeedback zoom zulip zuplo
""")
