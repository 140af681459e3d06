"""Words of the languages that receipts are printed in, for telling alphabets apart.

Owns samples only: each word is here for its letters beyond ASCII and what stands beside them. Written for this
project, from what shops sell and print.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_SOUTH_SLAVIC: Final = """
račun računa plaćanje plaćeno plaćanja povraćaj količina šećer žito mliječni čokolada čaj kašika kašičica četkica
šampon sveže svježe mješano međuzbir međuzbroj sniženje uštede čišćenje đuveč kačamak ražnjići ćevapi kolač kolači
pogača višnja šljiva grožđe kruška kačkavalj vrhnje brašno začin peršun češnjak šargarepa spanać grašak pirinač
špagete čips štapići žvake čarape košulja hlače čizme papuče ženska ženske muška dječja dečija dečji škola školski
bilježnica kišobran tašna novčanik kaiš naočare naočale minđuše čekić ključ klješta baštensko cveće cvijeće žuta
žuto tečni deterdžent četka vreća vrećica dođite prodavač prodavačica trgovačko društvo preduzeće poduzeće šifra
obračun ček novčana vraćeno način odštampao žig poštanski niš čačak šabac užice požarevac žabljak čapljina đakovo
šibenik varaždin čakovec međimurje križevci požega škofja črnomelj žalec šentjur petrović jovanović đorđević nikolić
marković đurić đokić ilić kovačević kovačič zupančič božič žagar šuštar hočevar anđela đurđa živko žarko željko saša
miša dušan čedomir ćiro šime številka št plačilo plačano vračilo član točke žemlja žemljica čevlji majčka šivalni
več mogoče še že či ščetka riž pišem češnja gospodinjski nakupovalna vrečka srečno obišči kupčeva knjižica ponuđač
pršut ćufte ćuretina pileći juneći goveđi svinjski kupaći ležaljka suncobran jastučnica posteljina stolnjak ubrus
marama džemper džep džem adžuka srećan rođendan čestitka izveštaj zaduženje razduženje dnevni presek promet
službenik službeni račun đački užina čvarci žganci ključar čuvar lješnjak lješnjaci čajna žele voćni voće povrće sok
gazirana sveća svijeća upaljač šibica duvan kafić kuća kućni
"""

_GERMAN: Final = """
größe grösse straße übung für süß süßigkeiten brötchen käse schlüssel tür gemüse müsli nüsse früchte äpfel möhren
knödel würstchen grüße vergütung rückgeld gebühr verkäufer öffnungszeiten schönen über zurück stück ermäßigung
ermäßigt fußball weißwein weißbrot heiß büro küche grün hähnchen hühnchen jägerschnitzel kräuter gewürz öl rapsöl
olivenöl frischkäse büchse getränke säfte könig müller schäfer köln münchen düsseldorf nürnberg würzburg österreich
zürich löffel gläser wäsche bügel mütze strümpfe handtücher bücher geschäft geschäftsführer fällig überweisung
ungültig gültig rückgabe rückerstattung prüfung prüfnummer kürbis rüben bärlauch böhnchen gärtner bäckerei
schwarzwälder sülze würfel läden märz jänner währung beträge beträgt wählen füllung köstlich höhe maß spaß gruß
schließen außer äußere ägypten öffnen überall übrig schälen für können möchten müssen würden hätten wäre schön böden
fräsen süßstoff spülmittel tücher gefüllt gekühlt kühl geräuchert
"""

_FRENCH: Final = """
reçu été café thé crème brûlée pâté pâtes pâtisserie gâteau fraîche fraîches français française élève école
téléphone numéro quantité unité réduction espèces chèque crédit débit reçue à payé payée réglé règlement siège
société très fermé légumes poêlée pêche pêches fruité épicé épices épicerie crémerie chèvre écrémé œuf œufs bœuf
haché fumé côte côtelette rôti rosé bière consigné déposé dépôt boîte boîtes pièce pièces vêtement modèle référence
désignation échange durée année février août décembre après préparé surgelé glacé où ça là voilà déjà hôtel forêt
fenêtre tête même être près élevé abîmé maïs opérateur opération détail total général n° caissière achevé sécurité
vérifié fidélité bénéficiez privilège à bientôt
"""

_ITALIAN: Final = """
caffè tè più perché città università quantità qualità è già però può così lunedì martedì mercoledì giovedì venerdì
età unità identità società attività pubblicità novità metà tribù virtù ragù tiramisù bontà specialità varietà sarà
potrà né sé là lì giù menù bignè purè cioè ciò c'è pagherà darà finché affinché poiché località proprietà
disponibilità modalità entità
"""

_SPANISH: Final = """
año niño señor piña español café azúcar jamón atún limón melón plátano artículo número teléfono dirección devolución
método crédito débito mañana día sábado miércoles también más está aquí después código electrónico razón página
jabón champú pantalón información atención não você são pão maçã limão açúcar feijão informação promoção atenção
cartão preço serviço açougue coração até café operação emissão às à já órgão único útil três mês leão mãe irmã avó
avô três pêra maçãs é ó á
"""

_HUNGARIAN: Final = """
számla összesen fizetendő készpénz bankkártya végösszeg köszönjük vásárlást áfa mennyiség egységár kenyér túró tojás
húsok sertés gyümölcs körte őszibarack szőlő málna zöldség répa káposzta sör pálinka üdítő víz ásványvíz kávé só
tészta csokoládé édes sütemény pogácsa rétes fogkrém mosópor öblítő vécépapír törölköző nadrág cipő kabát könyv
füzet újság bélyeg üzlet áruház cím út tér szám eladó pénztár pénztáros dátum idő óra visszajáró kedvezmény akció
visszavét győr székesfehérvár nyíregyháza kecskemét pécs kovács tóth szabó horváth németh molnár lukács fülöp őri
űrhajó fűszer gyűrű hűtő fűtő könnyű kőműves nő férfi
"""

_POLISH: Final = """
sprzedaż sprzedaży należność gotówka płatność kartą zł złoty ilość wartość usługa usługi żółty masło śmietana mąka
jabłka śliwka wiśnie ogórek bułka sól mięso wołowina kiełbasa łosoś śledź napój wódka ręcznik mydło zębów książka
długopis ołówek odzież dziękujemy łódź kraków wrocław gdańsk poznań białystok rzeszów częstochowa toruń święto część
gość środa październik grudzień styczeń kwiecień sierpień wrzesień źródło żaba łyżka źle późno świeże pączek gęś
kaczka żurek pieróg ćwiartka półka wążyk
"""

_CZECH: Final = """
účtenka účet hotově vráceno děkujeme nákup přijďte množství daň základ mléko máslo sýr chléb rohlík koláč sůl kuře
vepřové hovězí šunka párek švestka třešně višně česnek rajče zelí víno káva čaj sušenky čokoláda bonbóny mýdlo
šampón zubní prací prášek ručník košile ponožky sešit tužka náměstí číslo pokladní čas plzeň děčín ústí třebíč novák
dvořák černý procházka kučera veselý němec příjem zboží výdej žlutý kůň ďábel ťuhýk řeka říjen září květen červen
červenec únor březen súčet ďakujeme mäso kôň ľad vŕba dĺžka
"""

_ROMANIAN: Final = """
mulţumim aşteptăm preţ bucăţi pâine brânză peşte ouă făină cireşe căpşuni roşii castraveţi varză apă ciocolată săpun
şampon hârtie îmbrăcăminte încălţăminte stradă număr dată oră plată în şi să că după când cât bucureşti iaşi
timişoara braşov ploieşti piteşti bacău târgu mureş constanţa dumneavoastră vă bună ziua cumpărături reţinere
tranzacţie
"""

_NORDIC: Final = """
smörgås mjölk kött ägg öl kaffe bröd ost äpple päron jordgubbar grönsaker korv fläsk smör grädde gräddfil köttfärs
räkor sås att på är från får också år då så två åter nästa öppet lördag söndag måndag kvittonr belopp växel
återbäring köp betalt summa rødgrød smørrebrød brød mælk ost æg øl kød kylling pølse frugt æble pære jordbær
grøntsager kartofler løg kål smør fløde rugbrød beløb betalt byttepenge køb åben lørdag søndag måned år på så får
også være første næste øre førsteklasses hjælp tak både gør päivä määrä yhteensä kiitos käynnistä hyvää äiti työ yö
leipä jäätelö mehu kääretorttu välisumma käteinen köttbullar blåbär
"""

_TURKISH: Final = """
teşekkürler fiş toplam ödeme nakit kredi kartı iade satış kdv şişe çay kahve süt peynir ekmek çikolata şeker tuz yağ
zeytinyağı çorba köfte döner şiş kebap pirinç bulgur mercimek soğan sarımsak domates salatalık çilek üzüm kiraz
karpuz içecek gazoz ayran su ürün adı fiyatı miktarı tutarı ıspanak ısıtıcı ışık kağıt havlu şampuan diş fırçası
çamaşır bulaşık iğne çanta gömlek ayakkabı istanbul izmir eskişehir diyarbakır muğla şanlıurfa müşteri işlem günü
aldığınız geçerli değil için güle gidiş dönüş
"""

_GREEK: Final = """
απόδειξη σύνολο μετρητά κάρτα ρέστα ευχαριστούμε φπα ποσότητα τιμή είδος ψωμί γάλα τυρί αυγά ζάχαρη λάδι ελιές
ντομάτα πατάτες κρεμμύδι κρέας κοτόπουλο ψάρι κρασί μπύρα νερό καφές τσάι σοκολάτα σαπούνι χαρτί βιβλίο τετράδιο
ταμείο ημερομηνία ώρα αριθμός διεύθυνση τηλέφωνο αθήνα θεσσαλονίκη και το της του των για με από στο σας εταιρεία
πώληση επιστροφή έκπτωση πληρωμή συνολικό
"""

_SERBIAN_CYRILLIC: Final = """
рачун фискални укупно укупан износ готовина платна картица повраћај пдв порез стопа артикли назив цена количина
касир продавац продавница место продаје адреса општина београд нови сад ниш чачак шабац ужице крушевац зрењанин
пожаревац лесковац време број рачуна бројач пфр есир предузеће трговинско друштво са ограниченом одговорношћу хлеб
млеко јогурт сир кајмак маслац јаја шећер брашно уље сирће со бибер паприка парадајз краставац кромпир лук бели
пасуљ грашак пиринач тестенина чоколада бомбоне кекс чипс сок вода пиво вино ракија кафа чај месо пилетина свињетина
јунетина кобасица шунка паштета рибља туњевина сапун шампон детерџент паста за зубе папир марамице кеса књига свеска
оловка школски прибор ципеле чарапе кошуља панталоне јакна женска мушка дечија ћевапи пљескавица ражњићи ђувеч љубав
људи њега њихов џем џеп ђорђевић јовановић петровић николић марковић ђурић живковић крај фискалног рачуна промет
продаја рефундација купац попуст међузбир хвала на куповини дођите поново општа посебна ђ е г а сметка фискална
вкупно благодариме ѓорѓи ќе џвакална ѕвезда јаболко леб сирење
"""

_RUSSIAN_BULGARIAN: Final = """
сума общо плащане в брой карта ресто благодарим фискален бон касов бележка дата час артикул цена количество ддс
група хляб мляко сирене кашкавал яйца захар брашно масло итого наличными безналичными сдача кассир чек продажа товар
цена сумма ндс спасибо за покупку хлеб молоко сыр яйцо сахар мука масло мясо рыба курица овощи фрукты яблоки
картофель лук морковь вода пиво вино чай кофе шоколад конфеты печенье мыло порошок бумага книга тетрадь карандаш
магазин улица дом телефон касса смена номер документ приход мъж жена детски съд път щастие съществува объект подъезд
эскимо этаж юбка ящик в и с на по для от до не без или что это
"""

# Each language with the code pages that printers are set to for it, the likeliest first.
LANGUAGES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        "hr, sl, sr": (tuple(_SOUTH_SLAVIC.split()), ("CP852", "CP1250", "ISO8859-2")),
        "sr (Cyrillic), mk": (tuple(_SERBIAN_CYRILLIC.split()), ("CP1251", "CP855", "ISO8859-5")),
        "ru, bg": (tuple(_RUSSIAN_BULGARIAN.split()), ("CP866", "CP1251", "CP855", "ISO8859-5")),
        "de": (tuple(_GERMAN.split()), ("CP858", "CP1252", "CP437")),
        "hu": (tuple(_HUNGARIAN.split()), ("CP852", "CP1250", "ISO8859-2")),
        "cs, sk": (tuple(_CZECH.split()), ("CP852", "CP1250", "ISO8859-2")),
        "pl": (tuple(_POLISH.split()), ("CP852", "CP1250", "ISO8859-2")),
        "ro": (tuple(_ROMANIAN.split()), ("CP852", "CP1250", "ISO8859-2")),
        "fr": (tuple(_FRENCH.split()), ("CP858", "CP1252", "CP437")),
        "it": (tuple(_ITALIAN.split()), ("CP858", "CP1252", "CP437")),
        "es, pt": (tuple(_SPANISH.split()), ("CP858", "CP1252", "CP437")),
        "sv, da, no, fi": (tuple(_NORDIC.split()), ("CP858", "CP1252", "CP437")),
        "tr": (tuple(_TURKISH.split()), ("CP857", "CP1254")),
        "el": (tuple(_GREEK.split()), ("CP737", "CP1253")),
    }
)
