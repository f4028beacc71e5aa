"""Words and the picture that stands for them, by theme: the curated part of choosing illustrations.

One row per picture: an emoji and its words. `word` also matches its plural, `stem*` every word that begins so, and
`two_words` the words side by side. The longest match wins; a word stands once.
"""

from __future__ import annotations

ENGLISH: dict[str, str] = {
    "nature": """
🌋 volcan* magma lava erupt* caldera ash
⛰️ mountain peak hill alps himalaya* summit cliff ridge valley landscape
🌊 ocean sea wave tsunami tide* marine surf river stream creek
🌳 tree oak trunk nature natural environment*
🌲 forest* wood pine conifer wilderness
🌱 grow* seed sprout* growth begin* plant germinat* sapling*
🌿 herb leaf leaves botan* green organic
🌸 blossom* cherry_blossom spring bloom* flower* petal pollen*
🌵 cactus desert arid drought dry
🍄 mushroom fung* mycel* spore
🔥 fire burn* flame heat* hot blaz* wildfire* ignit* passion*
💧 water drop wet liquid moist* hydrat* sweat* drip*
🌧️ rain* monsoon drizzl* precipitation
⛈️ storm* thunder*
⚡ lightning electric* energy* power* voltage charg* fast quick* speed* instant*
🌪️ tornado* hurricane cyclone* whirl* chaos chaotic
❄️ snow* frost* cold winter* freez* frozen
🧊 ice glacier* iceberg* arctic antarctic* polar
☁️ cloud* fog* mist* haze
🌈 rainbow* spectrum hope*
☀️ sun sunny sunlight sunshine summer solar daylight sunrise dawn morning sunset
💨 wind* breeze air breath* gas gases vapor* vapour* steam* exhale* smoke* dust*
🏖️ beach* coast* shore*
🏝️ island* tropic*
🪨 rock stone boulder mineral geolog* crust
💎 diamond crystal gem jewel* precious treasure* valuable
🌍 earth world global* planet_earth climate* africa* europe* continent*
🍂 autumn decay* compost
🐾 animal wildlife creature track paw pet species
🐝 bee honeybee pollinator* hive beehive
🦋 butterfl* moth metamorphos* transform*
🐜 ant colony
🐛 caterpillar worm insect bug larva*
🕷️ spider arachnid*
🐟 fish fishing shoal
🦈 shark predator*
🐋 whale
🐬 dolphin
🐙 octopus* tentacle* squid
🪸 coral reef
🐢 turtle tortoise* slow slowly
🐍 snake serpent* venom* reptile
🦎 lizard gecko* chameleon*
🐸 frog toad amphibian
🦖 dinosaur* tyrannosaur* jurassic prehistoric fossil extinct*
🦅 eagle hawk falcon
🦉 owl
🐦 bird sparrow
🦜 parrot
🐧 penguin
🦆 duck
🐓 chicken rooster hen
🦢 swan
🦩 flamingo*
🐶 dog puppy puppies hound*
🐱 cat kitten* feline*
🦁 lion
🐯 tiger
🐘 elephant mammoth
🦒 giraffe
🦓 zebra
🐎 horse stallion* mare gallop*
🐄 cow cattle dairy livestock
🐖 pig pork
🐑 sheep lamb wool flock
🐐 goat
🐇 rabbit hare bunny
🐭 mouse mice rodent* rat
🐻 bear grizzl*
🐼 panda
🐺 wolf wolves
🦊 fox clever cunning
🦌 deer elk
🐒 monkey ape chimp* primate* gorilla*
🦘 kangaroo*
🦇 bat
🪺 nest egg_nest habitat*
🪶 feather*
""",
    "money": """
💰 money wealth* rich* fortune fund funds capital paycheck salary income wage profit* savings saving
🪙 coin cent penny pennies currency crypto* bitcoin* token
💵 cash dollar banknote pay paid payment* afford*
💳 credit debt card loan borrow* owe owing debit
🏦 bank* deposit* mortgage* institution*
📈 invest* stock share_price interest compound* rise rising increas* gain economy econom* inflation trend*
📉 fall falling decreas* decline* loss losing crash* recession* shrink*
📊 statistic* chart graph percent* compar* analy* report* measur* poll* budget* allocat*
🧾 bill receipt invoice* expens* cost spend* tax taxes spent
🛒 shop* buy* bought purchas* grocer* supermarket* consumer* cart
🏷️ price* discount* sale cheap* label* brand* bargain*
🛍️ retail store mall
🤝 deal agree* partner* trust* cooperat* handshake* together negotiat* alliance* friend friends friendship*
🤝 collaborat*
💼 business* compan* job work career* profession* employ* corporat* office*
🎰 gambl* casino* slot
⚖️ balance* justice* law legal* fair* equal* judg* court* weigh* versus
🏠 house home* rent* household* apartment* estate
🔐 secur* safe safely safety emergency_fund protect* privacy encrypt* password*
🗓️ month monthly calendar schedul* daily routine* week weekly habit*
""",
    "science": """
🔬 scien* microscop* research* laborator* lab biolog* microb* bacteri* cell
🧪 chemi* experiment* test react* acid* formula*
⚗️ alchem* distil*
🧬 dna gene genes genetic* evolution* evolv* inherit* mutat* genome*
🦠 virus* germ infect* pandemic* disease* microorganism*
⚛️ atom* nucle* quantum particle* physics physicist* electron* proton* molecul*
🧲 magnet* attract*
🔭 telescop* astronom* observ* stargaz*
🧮 math* calculat* count* arithmetic* abacus* algebra* number
📐 geometr* angle triangle* design* architect* precis* engineer*
🌡️ temperature* thermomet* fever* degree warm* celsius
🧠 brain* mind* think* thought* memor* neuro* psycholog* intellig* learn* cognit* smart* conscious*
💡 idea* invent* insight* lamp innovat* bulb* solution tip inspir* understand* creative creativ*
🩻 skeleton* xray x-ray rib
🦴 bone*
🔋 batter* recharge*
🧩 puzzle* problem* piece* complex* solve* solving
⏱️ stopwatch* timing
⏳ time wait* hourglass* patien* eventually decade*
⏰ alarm* wake* early deadline* clock minute hour
🔍 search* find* found discover* investigat* detail* examin* evidence clue* detect*
♻️ recycl* reus* sustainab* renew* circular
☢️ radioactiv* radiation*
💥 explo* blast* burst* boom* collision* collid* impact*
🫧 bubble* foam* soap*
🪞 mirror* reflect*
🌀 spiral* vortex* swirl* cycle* black_hole hypnot* galax* milky
🧫 petri* culture_dish
""",
    "space": """
🚀 rocket* launch* start* startup* spacecraft takeoff mission* boost*
🛰️ satellite* orbit* gps
🪐 planet* saturn jupiter mars venus neptune uranus exoplanet* universe* cosmos cosmic* space interstellar infinit*
🌙 moon* night* lunar sleep* dream* crescent dusk evening
⭐ star stars famous celebrit* favorite favourite
☄️ comet* asteroid* meteor*
👽 alien* extraterrestrial*
🧑‍🚀 astronaut* cosmonaut*
🌑 eclipse* dark darkness shadow*
✨ magic* spark* shin* glow* glitter* beaut* wonder* miracle* special
""",
    "tech": """
💻 computer* laptop* software* code coding program* developer* digital app online
📱 phone* smartphone* mobile* screen* notification* social_media
🌐 internet* web website* network* www browser*
🤖 robot* ai artificial machine_learning automat* algorithm* chatbot*
⚙️ machine* gear* mechani* engine* process* system* technolog* work_together function* industrial*
🔌 plug* socket* cable* wire*
📡 signal* antenna* radar* broadcast* transmit* wireless*
🎮 game* gaming gamer* video_game playstation*
📷 photo photograph* camera* picture* image* snapshot*
🎥 film* movie* cinema* video* record* documentar*
💾 disk backup* storage*
🗄️ database* archive* file
🖨️ print* printer*
⌨️ keyboard* typing type
🔑 key* unlock* access* secret* essential*
🔒 lock* private* closed* vault*
🛡️ shield* defend* defen* guard* immun* resist*
🔧 repair* fix* wrench* maintain* adjust* plumb*
🔨 hammer* build* construct* craft* forge*
🛠️ tool* make workshop* improve*
🏭 factor* industr* manufactur* production* pollut*
🧱 brick* wall* block foundation*
🏗️ crane* construction* skyscraper*
🔗 link* chain* connect* blockchain* relation*
🎛️ control* setting* tune tuning
🪫 exhaust* tired* burnout* fatigue*
🛢️ oil petrol* barrel* fuel* gasoline
📦 box* packag* parcel* deliver* container* product
🔦 flashlight* torch*
🪄 wand* trick* spell*
""",
    "history": """
♟️ chess* pawn* checkmate* strateg* tactic* opponent*
👑 king* queen* royal* crown* throne* monarch* emperor* empire* reign*
🏰 castle* medieval* fortress* knight* middle_ages
🏛️ ancient* rome roman* greek* greece temple* government* museum* parliament* politic* democra* philosoph*
🏛️ civilization* civilisation* histor*
⚔️ war* battle* fight* sword* soldier* army armies conflict* conquer* duel* compet*
🏹 bow_and_arrow archer* hunt* arrow
📜 scroll* manuscript* document* treaty constitution* legend* tradition* century centuries
🗿 statue* monument* easter_island sculpt*
🏺 vase* pottery amphora* archaeolog* artefact* artifact* ceramic*
⚱️ urn ashes tomb* burial* grave*
🐫 camel* silk_road caravan* egypt* pharaoh* pyramid*
🕌 mosque* islam* arab* caliph* persia*
⛪ church* cathedral* christian*
🛕 hindu* india indian*
🏯 japan* samurai* shogun*
⛵ sail* boat* yacht* voyage*
🚢 ship* titanic* vessel* cargo navy
⚓ anchor* harbor* harbour* port
🏴‍☠️ pirate*
🗺️ map* explor* journey* territor* atlas route* adventur* expedition*
🧭 compass* navigat* direction* guide* orient* path
🕰️ old_clock antique* vintage past era epoch
🪖 helmet* military* troop*
🎖️ medal* honor* honour* veteran*
💣 bomb* weapon*
🗡️ dagger* knife knives assassin*
🕊️ peace* dove* freedom* liberat*
🧙 wizard* sorcer* merlin
🐉 dragon* myth*
🗳️ vote* election* ballot*
🛖 hut village tribe* settlement*
🪓 axe* chop*
""",
    "learning": """
📚 book* read reading reader* librar* literatur* study studie* studying education* knowledge* novel*
🎓 graduat* universit* student* college* school* academ* scholar*
✏️ pencil* draw* sketch* write* writing note*
📝 list plan planning planned checklist* exam* essay* memo homework summar* step
🏫 classroom* kindergarten*
🧑‍🏫 teach* professor* lesson*
📖 story stories tale* chapter* page* dictionary bible poem* poet*
❓ question* why ask* quiz* curious* unknown
❗ important* attention exclamation*
⚠️ warn* danger* risk* hazard* caution* threat* alert*
✅ correct* done success* complete* approv* yes
❌ wrong* mistake* error* fail* avoid* cancel*
🎯 goal* target* aim* focus* accura* objective* bullseye*
🔔 bell* remind* ring
💬 talk* speak* speech* conversation* language* chat* say discuss* communicat* message* word*
📣 announc* shout* marketing advertis* campaign* loud*
📰 news* journalis* headline* press
✉️ letter* mail* email* envelope*
🔤 alphabet* spelling
🖋️ author* ink calligraph*
🗣️ voice* pronounc* rumor* rumour*
👀 eye* see* watch* vision* visible* view*
👂 ear hear* listen*
👣 footprint* footstep*
🪜 ladder* climb* level*
🏁 finish* race* final*
🚩 milestone* red_flag mark
""",
    "people": """
❤️ love* heart* romance* affection* care caring kind kindness emotion* feel* feeling* family families parent*
👶 baby babies infant* newborn* birth* born
🧒 child* kid
👵 grandmother* elder*
👥 people crowd* population* society* social* community communit* team* human* group* citizen*
💍 wedding* marri* engagement*
🎂 birthday* cake* anniversar*
🎁 gift* surprise* reward* bonus*
🎉 celebrat* party parties festival* congratulat* joy* happy happi* fun
🏆 win* won trophy* champion* victor* award* best tournament* prize* triumph* master*
🥇 first_place gold_medal
💪 strong* strength* muscle* effort* workout* train* exercise* discipline*
👍 good thumbs_up
🙏 thank* grateful* gratitude pray* religio* faith*
👋 hello goodbye welcome* greet*
🤲 give* charity donat* help* support*
✊ protest* revolution* rebel*
😄 smile* smiling laugh* grin*
😢 cry cries cried crying tears weep*
😱 scream*
🧘 meditat* calm* relax* yoga stress* mindful* peaceful quiet*
🕵️ detective* spy spies mystery mysteri*
👨‍🍳 chef*
🧑‍🌾 farmer*
👷 worker*
🧑‍🎨 painter*
🦸 superhero* hero*
🧓 retire* pension*
""",
    "health": """
🏥 hospital* clinic* patient
💊 pill medicine* medic* drug* antibiotic* vitamin* cure*
💉 vaccin* inject* syringe* blood_test
🩸 blood*
🩺 doctor* health* diagnos* physician* symptom*
🫀 cardiac* heartbeat* pulse* circulation*
🫁 lung* respirat* oxygen* inhale*
🦷 tooth teeth dent*
👃 nose smell* scent*
✋ hand finger touch* stop
🦵 leg knee
👅 tongue taste*
🛏️ bed bedroom* rest resting
😴 asleep
🚿 shower* bath* wash*
🧼 clean* hygien*
🏃 run* jog* sprint* marathon*
🏋️ gym weightlift* fitness
🚴 cyclist* bicycle* bike* pedal*
🏊 swim*
🚶 walk* hike*
🥗 salad* diet* nutrition* healthy_food vegetarian* vegan*
🩹 wound* heal* injur* recover* bandage*
🧴 lotion* skin* cream sunscreen*
""",
    "food": """
☕ coffee* espresso* caffein* cafe barista* roast*
🍵 tea matcha
🍞 bread* bak* flour dough* yeast* loaf
🌾 wheat* grain* rice_field harvest* crop* agricultur* farm*
🍎 apple* fruit*
🍌 banana*
🍇 grape* vineyard*
🍷 wine*
🍺 beer* brew*
🍋 lemon* citrus sour
🍊 mandarin*
🍓 strawberr* berry berries
🍅 tomato*
🥕 carrot* vegetable*
🥔 potato*
🌽 corn maize
🌶️ chili* spic* pepper*
🧄 garlic*
🧅 onion*
🥑 avocado*
🍫 chocolate* cocoa cacao
🍬 candy sugar* sweet*
🍯 honey*
🧀 cheese*
🥛 milk*
🥚 egg eggs
🍳 cook* kitchen* breakfast* recipe* fry*
🍽️ food* eat* meal* dinner* lunch* restaurant* dish* hungry hunger
🍕 pizza*
🍝 pasta* spaghetti*
🍚 rice
🍣 sushi*
🍜 noodle* soup* ramen*
🍔 burger* fast_food
🍦 ice_cream
🍪 cookie* biscuit*
🧂 salt* season_food
🥩 meat* steak* beef protein*
🫒 olive*
🥜 nut nuts peanut*
🥤 drink* soda* juice* thirst*
""",
    "travel": """
✈️ plane* airplane* flight* fly* flew aviation* airport* pilot* travel* trip*
🚗 car cars driv* automobile* vehicle* traffic*
🚌 bus buses public_transport
🚆 train trains railway* locomotive* rail subway* metro*
🛣️ road* highway* motorway* bridge*
🏢 building* headquarter* city cities urban* town* downtown* metropolis*
🗽 america* new_york liberty statue_of_liberty
🗼 paris eiffel* tower* france french
🎡 london ferris* carnival*
🎢 roller_coaster ups_and_downs
🏕️ camp* outdoor* tent* nomad*
🧳 luggage* suitcase* tourist* tourism* vacation* holiday* migrat*
🎒 backpack*
🎫 ticket*
🛂 passport* border* immigra*
🏨 hotel*
🚦 traffic_light rule*
🛑 halt* forbid* ban* quit*
🚪 door* open* opportunit* entr* exit*
🪟 window*
🛋️ sofa* couch* furniture* comfort*
🚜 tractor*
🚁 helicopter*
🎈 balloon* float*
🪂 parachut* jump*
🚧 barrier* obstacle* challenge* difficult*
""",
    "art": """
🎨 art artist* paint* color* colour* palette* creat* pigment*
🎵 music* song* melod* sound* rhythm*
🎸 guitar* rock_music
🎹 piano*
🎻 violin* orchestra* symphon* classical_music
🥁 drum* beat
🎺 trumpet* jazz
🎤 sing singing singer* microphone* karaoke concert* podcast*
🎧 headphone* audio*
🎭 theater* theatre* drama* actor* perform* comed* traged*
💃 danc* ballet*
🎬 scene* director* hollywood
🖼️ gallery portrait* masterpiece* frame*
🧵 thread* sew* textile* fabric* cloth*
👗 dress fashion* wear* costume*
👟 shoe* sneaker*
🎪 circus*
📻 radio*
📺 television* tv
💄 makeup cosmetic*
🕯️ candle*
""",
    "sport": """
⚽ soccer football* goalkeep* worldcup
🏀 basketball*
🎾 tennis*
🏈 american_football quarterback*
⚾ baseball*
🏐 volleyball*
🥊 boxing boxer* punch*
🥋 karate judo martial*
🎿 ski skiing
🏂 snowboard*
🏄 surfing surfer*
🧗 climber*
🎲 dice chance* random* luck* probabil* board_game
🃏 card_game poker joker
🏟️ stadium* arena* olymp* gladiator* sport* athlete*
🎳 bowling
⛳ golf*
🪁 kite*
🧸 toy* teddy* childhood*
🪀 yo-yo
🎣 angler*
""",
}
