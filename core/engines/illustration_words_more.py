"""Words and their pictures in other languages, and what stands in when no word tells."""

from __future__ import annotations

MORE: dict[str, str] = {
    "de": """
🌋 vulkan* lava magma ausbr* eruption*
⛰️ berg gebirge alpen gipfel*
🌊 meer ozean* welle see
🔥 feuer* brenn* hitze flamme* heiß*
💧 wasser tropfen
🌳 baum bäume natur*
🌲 wald wälder
🌱 wachs* pflanz* keim* samen
🌍 welt erde klima* global*
☀️ sonne* sommer*
❄️ schnee* winter* kalt kälte
🌧️ regen*
💨 wind luft gas gase dampf
⚡ strom energie* blitz* schnell* kraft
🪨 stein gestein fels* kruste
🐾 tier
🐝 biene
💰 geld* reichtum vermögen* gehalt* einkommen lohn sparen spart gespart* ersparn*
💳 schuld* kredit* karte
🏦 bank*
📈 steig* anleg* aktie* zins* wachstum wirtschaft*
📉 sink* verlust* verlier* fall* krise*
📊 statistik* prozent* vergleich* budget*
🧾 rechnung* kosten ausgab* ausgeb* steuer*
🛒 kauf* einkauf* laden
🤝 vertrag* partner* vertrau* gemeinsam* zusammen freund*
💼 arbeit* beruf* firma unternehm* geschäft*
⚖️ recht gerecht* gesetz* gleichgewicht
🏠 haus häuser wohn* miete*
🔐 sicher* schutz schütz* notgroschen
🗓️ monat* woche* täglich* gewohnheit* plan pläne
🔬 wissenschaft* forsch* labor* zelle
🧪 chemi* experiment* versuch* säure
🧬 gen gene genetik dna evolution*
🧠 gehirn denk* gedanke* gedächtnis* lern* verstand
💡 idee* erfind* erfund* tipp lösung* licht*
⏳ zeit* wart* geduld* jahre
⏰ uhr stunde minute früh
🔍 such* find* gefunden entdeck* unters*
🚀 rakete* start*
🪐 planet* saturn jupiter mars
🪐 universum* weltall galaxie* kosmos
🌙 mond* nacht* schlaf* traum träum*
⭐ stern* berühmt*
💻 computer* software* programm*
📱 handy* telefon* smartphone*
🌐 internet* netz*
🤖 roboter* künstlich*
⚙️ maschine* technik* motor* getriebe*
🔑 schlüssel* geheim*
🛠️ werkzeug* bauen baut gebaut
🏭 fabrik* industrie*
♟️ schach* bauer bauern strateg* spieler*
👑 könig* königin* krone* kaiser* dame
🏰 burg* schloss* mittelalter* ritter*
🏛️ antik* rom römisch* griech* geschicht* politik* staat*
⚔️ krieg* kampf* kämpf* schlacht* schwert*
📜 jahrhundert* urkunde* alte alten
🗺️ karte* reise* entdeckung*
🧭 kompass* weg wege richtung*
📚 buch bücher les* wissen
🎓 universität* schule* student* studium
📝 liste* notiz* plan* schritt*
❓ frage* warum
⚠️ gefahr* gefähr* warn* risik*
🎯 ziel* fokus
💬 sprech* sprache* gespräch* wort wörter
❤️ liebe* herz* gefühl*
❤️ familie* eltern
👥 mensch* leute gesellschaft* gruppe*
🏆 gewinn* gewann sieg* meister* turnier* weltmeister*
💪 stark* stärke* muskel* mühe übung*
🩺 arzt ärzt* gesund* krank*
☕ kaffee*
🍞 brot* mehl back*
🍽️ essen* nahrung* hunger*
🍳 koch* küche rezept*
✈️ flug* flieg* flugzeug*
🚗 auto autos fahr*
🏢 stadt städte
🎨 kunst* mal* farbe*
🎵 musik* lied* ton töne
⚽ fußball*
""",
    "es": """
🌋 volc* lava magma erupci*
⛰️ montaña* cima
🌊 mar océano* ola
🔥 fuego* calor* quem*
💧 agua*
🌳 árbol* naturaleza
🌲 bosque*
🌱 crec* planta* semilla*
🌍 mundo* tierra* clima*
☀️ sol verano
⚡ energía* eléctric* rápid* fuerza*
💰 dinero* riqueza* salario* ahorr*
💳 deuda* crédito* tarjeta*
🏦 banco*
📈 sub* inver* interés* interes* economía*
🛒 compr* tienda*
💼 trabaj* empresa* negocio*
🏠 casa*
🔬 ciencia* científ* investig*
🧠 cerebro* mente* pens* aprend* memoria*
💡 idea* invent* consejo* luz
⏳ tiempo* esper*
🔍 busc* encontr* descubr*
🪐 planeta*
🪐 universo* galaxia* espacio*
🌙 luna* noche* dorm* sueño*
⭐ estrella*
💻 ordenador* computador* programa*
♟️ ajedrez* estrateg*
👑 rey reina* corona* imperio*
🏛️ antigu* historia* roma* polític*
⚔️ guerra* batalla* lucha*
📚 libro* leer* lectura*
❤️ amor* corazón*
👥 gente persona* sociedad* humano*
🏆 gana* campeón* victoria*
🩺 salud* médic*
☕ café*
🍽️ comida* comer
🏢 ciudad*
🎨 arte* pint* color*
🎵 música* canción*
⚽ fútbol*
""",
    "fr": """
🌋 volcan* lave magma érupti*
⛰️ montagne* sommet*
🌊 mer océan* vague*
🔥 feu* chaleur* brûl*
💧 eau eaux
🌳 arbre* nature*
🌲 forêt*
🌱 pouss* plante* graine* croissance*
🌍 monde* terre* climat*
☀️ soleil* été
⚡ énergie* électri* rapide* vitesse*
💰 argent* richesse* salaire* épargn* économis*
💳 dette* crédit* carte*
🏦 banque*
📈 hausse* invest* intérêt* économie*
🛒 achet* achat* magasin*
💼 travail* entreprise* métier*
🏠 maison* loyer*
🔬 scien* recherche*
🧠 cerveau* pens* esprit* appren* mémoire*
💡 idée* invent* conseil* lumière*
⏳ temps attend* patien*
🔍 cherch* trouv* découv*
🪐 planète*
🪐 univers* galaxie* espace*
🌙 lune* nuit* dorm* rêve*
⭐ étoile*
💻 ordinateur* logiciel* programm*
♟️ échec* échiquier* stratég*
👑 roi* reine* couronne* empire*
🏛️ antiqu* histoire* rome* polit*
⚔️ guerre* bataille* combat*
📚 livre* lire lecture*
❤️ amour* cœur* coeur*
👥 gens personne* société* humain*
🏆 gagn* champion* victoire*
🩺 santé* médecin*
☕ café*
🍽️ nourriture* manger repas
🏢 ville*
🎨 art arts peint* couleur*
🎵 musique* chanson*
⚽ football*
""",
    "ar": """
🌋 بركان براكين بركاني* حمم صهارة ثوران
⛰️ جبل جبال
🌊 بحر بحار محيط
🔥 نار حرارة حرق
💧 ماء مياه
🌱 نبات زراعة نمو
🌍 أرض عالم مناخ
☀️ شمس صيف
💰 مال أموال نقود ادخار توفير ثروة
📈 استثمار اقتصاد ارتفاع
🧠 عقل دماغ تفكير تعلم
💡 فكرة أفكار نصيحة
⏳ وقت زمن
🌙 قمر ليل نوم
⭐ نجم نجوم
♟️ شطرنج
👑 ملك ملكة
🏛️ تاريخ قديم*
⚔️ حرب معركة
📚 كتاب كتب علم
🕌 مسجد إسلام*
❤️ حب قلب
👥 ناس مجتمع إنسان
🏢 مدينة مدن
💻 حاسوب برنامج
🩺 صحة طبيب
""",
}

FALLBACK: dict[str, str] = {
    "nature": "🌍 🌿 ☀️ 🌊 ⛰️ 🌸 🦋 🌈",
    "money": "💰 📈 🪙 🏦 💡 🎯 🌱 🔑",
    "science": "🔬 🧪 🧬 💡 🧫 🔭 🧠 🧲",
    "space": "🚀 🪐 ✨ 🔭 🌙 ⭐ 🛰️ 💫",
    "tech": "💻 ⚙️ 💡 🛰️ 🤖 🔋 🔑 🌐",
    "history": "📜 🗺️ 🏛️ 🧭 ⏳ 🏺 👑 🕯️",
    "learning": "📚 💡 ✏️ 🎯 🧩 🔍 🎓 📝",
    "people": "🤝 ❤️ 💡 🎈 🌟 🎉 💬 🌱",
    "health": "🩺 💧 🍎 ☀️ 🌿 ❤️ 🫀 ⏳",
    "food": "🍽️ 🌿 🧂 🍋 🔥 🍯 🌾 🍓",
    "travel": "🧭 🗺️ ✈️ 🧳 🌍 🎈 🎫 ⛰️",
    "art": "🎨 🎵 ✨ 🎬 🎭 💡 🎻 🎈",
    "sport": "🏆 🎯 💪 ⏱️ 🥇 ⚡ 🎉 👟",
    "": "✨ 💡 🧭 🧩 🔭 📖 🎬 🎈 🗺️ 🔑 🌟 🪁",
}  # of each theme what never looks wrong; without a theme, what can open any story
